namespace LoadBalancer.Pools;

/// <summary>One server of a pool: who it is, what the operator wants of it, what was observed of it, what it is doing now.</summary>
public sealed class Backend
{
    private readonly int _maxInFlight;
    private int _inFlight;
    private long _requests;
    private long _failures;

    /// <summary>Makes a backend that takes part as soon as its health allows.</summary>
    /// <param name="name">Its name in the configuration; unique in its pool.</param>
    /// <param name="address">Where it listens.</param>
    /// <param name="health">Its health, which only its pool feeds.</param>
    /// <param name="weight">Its share relative to the others, 0..1000; 0 gets nothing.</param>
    /// <param name="maxInFlight">How many leases it may have at once; null is without limit.</param>
    public Backend(string name, EndpointAddress address, BackendHealth health, int weight = 1, int? maxInFlight = null)
    {
        Name = name;
        Address = address;
        Health = health;
        Weight = weight;
        _maxInFlight = maxInFlight ?? int.MaxValue;
    }

    /// <summary>Raised when there is a sign, but no proof, that the backend is gone; on any thread, handlers must not block.</summary>
    public event Action? Doubted;

    /// <summary>Its name in the configuration.</summary>
    public string Name { get; }

    /// <summary>Where it listens.</summary>
    public EndpointAddress Address { get; }

    /// <summary>Its share relative to the other backends of the pool; 0 gets nothing.</summary>
    public int Weight { get; }

    /// <summary>What the operator wants of it; changed through <see cref="BackendPool.SetAdminState"/>.</summary>
    public AdminState AdminState { get; internal set; }

    /// <summary>What was observed of it; fed through its pool.</summary>
    public BackendHealth Health { get; }

    /// <summary>Leases out now.</summary>
    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Leases ever taken, retries included.</summary>
    public long Requests => Interlocked.Read(ref _requests);

    /// <summary>Attempts that failed through the backend's fault.</summary>
    public long Failures => Interlocked.Read(ref _failures);

    /// <summary>Whether one more lease would fit below its limit.</summary>
    public bool HasRoom => Volatile.Read(ref _inFlight) < _maxInFlight;

    /// <summary>Reports such a sign: an idle connection was closed, say. Whoever checks health may want to look at once.</summary>
    public void Doubt() => Doubted?.Invoke();

    internal bool IsEligible => AdminState == AdminState.Ready && Weight > 0 && Health.IsUp;

    // Counts first and looks then: two that enter at once cannot both take the last place.
    internal bool TryEnter()
    {
        if (Interlocked.Increment(ref _inFlight) > _maxInFlight)
        {
            Interlocked.Decrement(ref _inFlight);
            return false;
        }
        Interlocked.Increment(ref _requests);
        return true;
    }

    internal void Leave(AttemptOutcome outcome)
    {
        Interlocked.Decrement(ref _inFlight);
        if (outcome is AttemptOutcome.ConnectFailed or AttemptOutcome.Failed)
        {
            Interlocked.Increment(ref _failures);
        }
    }
}
