using LoadBalancer.Net;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Pools;

/// <summary>One server of a pool: who it is, what the operator wants of it, what was observed of it, what it is doing now.</summary>
public sealed class Backend
{
    /// <summary>The largest weight.</summary>
    public const int MostWeight = 1000;

    /// <summary>What <see cref="EffectiveWeight"/> counts in: hundredths of a weight.</summary>
    internal const int WeightUnit = 100;

    private int _maxInFlight; // int.MaxValue: without limit
    private InFlightCounts _counts = null!; // until it joins its pool
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
        MaxInFlight = maxInFlight;
        ResponseTime = new ResponseTime(health.Time);
    }

    /// <summary>Raised when there is a sign, but no proof, that the backend is gone; on any thread, handlers must not block.</summary>
    public event Action? Doubted;

    /// <summary>Its name in the configuration.</summary>
    public string Name { get; }

    /// <summary>Where it listens.</summary>
    public EndpointAddress Address { get; }

    /// <summary>Its share relative to the other backends of the pool; 0 gets nothing. Changed through <see cref="BackendPool.Change"/>.</summary>
    public int Weight { get; internal set; }

    /// <summary>
    /// How far its slow start has come, above 0 to 1, which is all the way: the part of its weight that counts. Changed through
    /// <see cref="BackendPool.Change"/>.
    /// </summary>
    public double Ramp { get; internal set; } = 1;

    /// <summary>
    /// How busy it says that it is, in percent, 0 to 100: so much of its weight does not count, but for a hundredth of it. Changed through
    /// <see cref="BackendPool.Change"/>.
    /// </summary>
    public int Load { get; internal set; }

    /// <summary>What the operator wants of it; changed through <see cref="BackendPool.Change"/>.</summary>
    public AdminState AdminState { get; internal set; }

    /// <summary>Whether it has left its pool: what it has in flight may end, and nothing comes any more.</summary>
    public bool IsRemoved { get; internal set; }

    /// <summary>How many leases it may have at once; null is without limit. Changed through <see cref="BackendPool.Change"/>.</summary>
    public int? MaxInFlight
    {
        get => _maxInFlight == int.MaxValue ? null : _maxInFlight;
        internal set => _maxInFlight = value ?? int.MaxValue;
    }

    /// <summary>What was observed of it; fed through its pool.</summary>
    public BackendHealth Health { get; }

    /// <summary>How long it takes to answer.</summary>
    public ResponseTime ResponseTime { get; }

    /// <summary>What it has answered.</summary>
    public AnswerStatistics Answers { get; } = new();

    /// <summary>What was relayed between it and clients.</summary>
    public ConnectionStatistics Connections { get; } = new();

    /// <summary>Where its count stands among those of its pool.</summary>
    public int Place { get; private set; }

    /// <summary>Leases out now.</summary>
    public int InFlight => Volatile.Read(ref _counts[Place]);

    /// <summary>Leases ever taken, retries included.</summary>
    public long Requests => Interlocked.Read(ref _requests);

    /// <summary>Attempts that failed through the backend's fault.</summary>
    public long Failures => Interlocked.Read(ref _failures);

    /// <summary>Whether one more lease would fit below its limit.</summary>
    public bool HasRoom => InFlight < _maxInFlight;

    /// <summary>Reports such a sign: an idle connection was closed, say. Whoever checks health may want to look at once.</summary>
    public void Doubt() => Doubted?.Invoke();

    internal bool IsEligible => AdminState == AdminState.Ready && Weight > 0 && Health.IsUp;

    // Who belongs here already may still come while the backend drains.
    internal bool IsOpenToItsOwn => !IsRemoved && AdminState != AdminState.Disabled && Health.IsUp;

    // Never less than a hundredth: who gets nothing would never show that it is well.
    internal int EffectiveWeight => Math.Max(Weight, (int)(Weight * WeightUnit * Ramp * (100 - Load) / 100));

    internal void Join(InFlightCounts counts) => (_counts, Place) = (counts, counts.TakePlace());

    // Never counts above the limit, if only for an instant: who looks then would wait for room that is there.
    internal bool TryEnter()
    {
        ref var count = ref _counts[Place];
        if (_maxInFlight == int.MaxValue)
        {
            Interlocked.Increment(ref count);
        }
        else
        {
            for (var seen = Volatile.Read(ref count); ;)
            {
                if (seen >= _maxInFlight)
                {
                    return false;
                }
                var before = Interlocked.CompareExchange(ref count, seen + 1, seen);
                if (before == seen)
                {
                    break;
                }
                seen = before;
            }
        }
        Interlocked.Increment(ref _requests);
        return true;
    }

    internal void Leave(AttemptOutcome outcome)
    {
        Interlocked.Decrement(ref _counts[Place]);
        if (outcome is AttemptOutcome.ConnectFailed or AttemptOutcome.Failed)
        {
            Interlocked.Increment(ref _failures);
        }
    }
}
