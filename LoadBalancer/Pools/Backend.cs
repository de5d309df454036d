using LoadBalancer.Net;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Pools;

/// <summary>One server of a pool: its identity, what the operator wants of it, its observed health, and what it has in flight.</summary>
public sealed class Backend
{
    /// <summary>The largest weight that can be configured.</summary>
    public const int MaxWeight = 1000;

    /// <summary>What a backup's tier is above that of the backend if it were none: more than any priority of an SRV record.</summary>
    internal const int BackupTier = 1 << 16;

    /// <summary>The unit of <see cref="EffectiveWeight"/>: hundredths of a weight.</summary>
    internal const int WeightUnit = 100;

    private AdaptiveLimit? _adaptive; // also while it is not used: leases may count in it
    private int? _configuredLimit; // null where there is none, or an adaptive one
    private int _maxInFlight; // the lower of the two limits; int.MaxValue: no limit
    private InFlightCounts _counts = null!; // null until it joins its pool
    private readonly long[] _failureKinds = new long[Enum.GetValues<FailureKind>().Length];
    private long _requests;
    private long _failures;

    /// <summary>Creates a backend that is eligible as soon as its health allows.</summary>
    /// <param name="name">Its name in the configuration; unique in its pool.</param>
    /// <param name="address">The address at which it listens.</param>
    /// <param name="health">Its health; only its pool reports observations to it.</param>
    /// <param name="weight">Its share relative to the others, 0..1000; with 0 it gets nothing.</param>
    /// <param name="maxInFlight">The most leases at once; null means no limit.</param>
    public Backend(string name, EndpointAddress address, BackendHealth health, int weight = 1, int? maxInFlight = null)
    {
        Name = name;
        Address = address;
        Health = health;
        Weight = weight;
        MaxInFlight = maxInFlight;
        ResponseTime = new ResponseTime(health.Time);
    }

    /// <summary>Raised when there is a sign, but no proof, that the backend is down; on any thread, handlers must not block.</summary>
    public event Action? Suspected;

    /// <summary>Its name in the configuration.</summary>
    public string Name { get; }

    /// <summary>The address at which it listens.</summary>
    public EndpointAddress Address { get; }

    /// <summary>
    /// The name by which it is known to clients: TLS asks for it, and probes name it as the host. That of <see cref="Address"/>; of a
    /// backend that was found by its name, that name.
    /// </summary>
    public string HostName
    {
        get => field ??= Address.Host;
        init;
    }

    /// <summary><see cref="Address"/> with <see cref="HostName"/> as its host: what a URI for it, its host field and TLS name.</summary>
    internal EndpointAddress NamedAddress => HostName == Address.Host ? Address : Address with { Host = HostName };

    /// <summary>
    /// The addresses of the name in <see cref="Address"/>, kept up to date by the code that sets this, before it joins its pool. Null where
    /// it is no name, and for a name that is looked up for each connection.
    /// </summary>
    internal HostAddresses? Hosts { get; set; }

    /// <summary>
    /// Its share relative to the other backends of the pool; with 0 it gets nothing. Changed through <see cref="BackendPool.Change"/>.
    /// </summary>
    public int Weight { get; internal set; }

    /// <summary>
    /// The part of its weight that counts during its slow start: above 0, and 1 when that is over. Changed through
    /// <see cref="BackendPool.Change"/>.
    /// </summary>
    public double Ramp { get; internal set; } = 1;

    /// <summary>
    /// The load that it reports itself, in percent, 0 to 100: this part of its weight does not count, but at least a hundredth of the
    /// weight
    /// always does. Changed through <see cref="BackendPool.Change"/>.
    /// </summary>
    public int Load { get; internal set; }

    /// <summary>
    /// Its tier, 0 (the default) or above: it is chosen only while no backend of a lower tier is eligible, or where the work was tried on
    /// all of those. Changed through <see cref="BackendPool.Change"/>.
    /// </summary>
    public int Tier { get; internal set; }

    /// <summary>What the operator wants it to do; changed through <see cref="BackendPool.Change"/>.</summary>
    public AdminState AdminState { get; internal set; }

    /// <summary>Whether it has left its pool: what it has in flight may finish, and it gets nothing new.</summary>
    public bool IsRemoved { get; internal set; }

    /// <summary>The limit that its response times tell; null where it is not found by them. See <see cref="LimitTo"/>.</summary>
    public AdaptiveLimit? Adaptive { get; private set; }

    /// <summary>
    /// The most leases at once; null means no limit. Changed through <see cref="BackendPool.Change"/>. Where there is an
    /// <see cref="Adaptive"/> limit, the most that may wait for a response.
    /// </summary>
    public int? MaxInFlight
    {
        get => Adaptive?.Limit ?? _configuredLimit;
        internal set
        {
            _configuredLimit = value;
            SetLimit();
        }
    }

    /// <summary>What its agent wants of it. Changed through <see cref="BackendPool.Change"/>.</summary>
    public AgentReport Agent
    {
        get;
        internal set
        {
            field = value;
            SetLimit();
        }
    } = AgentReport.None;

    /// <summary>Its observed health; observations go through its pool.</summary>
    public BackendHealth Health { get; }

    /// <summary>Its recent response time.</summary>
    public ResponseTime ResponseTime { get; }

    /// <summary>Its response times by what it has in flight; null where the policy does not use them.</summary>
    public ExpectedTimes? Expected { get; internal set; }

    /// <summary>Counts of its responses.</summary>
    public AnswerStatistics Answers { get; } = new();

    /// <summary>Counts of the connections that were relayed to it.</summary>
    public ConnectionStatistics Connections { get; } = new();

    /// <summary>Counts what outliers are found by; null where they are not looked for.</summary>
    internal OutlierCounts? OutlierCounts { get; set; }

    /// <summary>What it did in the last interval in which outliers were looked for; null where they are not.</summary>
    public OutlierNumbers? Outlier { get; internal set; }

    /// <summary>Its slot among the counts of its pool, see <see cref="InFlightCounts"/>.</summary>
    public int Slot { get; private set; }

    /// <summary>Leases that are out now.</summary>
    public int InFlight => Volatile.Read(ref _counts[Slot]);

    /// <summary>Leases ever taken, retries included.</summary>
    public long Requests => Interlocked.Read(ref _requests);

    /// <summary>Attempts that failed because of the backend.</summary>
    public long Failures => Interlocked.Read(ref _failures);

    /// <summary>How many of the <see cref="Failures"/> are of a kind.</summary>
    public long FailuresOf(FailureKind kind) => Interlocked.Read(ref _failureKinds[(int)kind]);

    /// <summary>Whether one more lease would fit below its limit.</summary>
    public bool HasRoom => InFlight < _maxInFlight && Adaptive?.HasRoom != false;

    /// <summary>
    /// Reports a sign that it may be down, for example that it closed an idle connection. The health checker then probes it at once.
    /// </summary>
    public void Suspect() => Suspected?.Invoke();

    internal bool IsEligible => IsWanted && Health.IsUp;

    /// <summary>Whether it will be eligible if its first probe, which is still under way, succeeds.</summary>
    internal bool IsAwaited => IsWanted && Health.IsPending;

    // Sticky clients may still come while the backend drains.
    internal bool IsOpenToItsOwn =>
        !IsRemoved && AdminState != AdminState.Disabled && Agent.State != AdminState.Disabled && Health.IsUp;

    // Never less than a hundredth: a backend that gets nothing could never show that it is healthy.
    internal int EffectiveWeight
    {
        get
        {
            var weight = Weight * WeightUnit * Ramp * (100 - Load) / 100;
            return (int)Math.Clamp(Agent.Share == 100 ? weight : weight * Agent.Share / 100, Weight, MaxWeight * WeightUnit);
        }
    }

    // By the operator and by its agent.
    private bool IsWanted => AdminState == AdminState.Ready && Agent.State == AdminState.Ready && Weight > 0 && Agent.Share > 0;

    internal void Join(InFlightCounts counts) => (_counts, Slot) = (counts, counts.TakeSlot());

    /// <summary>Limits what it may have at once; an adaptive limit goes on. Called by <see cref="BackendPool.Change"/>.</summary>
    internal void LimitTo(InFlightLimit limit)
    {
        MaxInFlight = limit.Count;
        if (limit.IsAuto)
        {
            Adaptive = _adaptive ??= new AdaptiveLimit(Health.Time);
        }
        else
        {
            Adaptive?.Release();
            Adaptive = null;
        }
    }

    /// <summary>Counts one more lease, if it fits.</summary>
    /// <param name="awaiting">How many wait with it for a response, see <see cref="AdaptiveLimit.TryEnter"/>; else 0.</param>
    internal bool TryEnter(out int awaiting)
    {
        awaiting = 0;
        var adaptive = Adaptive;
        if (adaptive is null)
        {
            return TryCount();
        }
        awaiting = adaptive.TryEnter();
        if (awaiting == 0)
        {
            return false;
        }
        if (!TryCount())
        {
            adaptive.Leave();
            return false;
        }
        return true;
    }

    /// <summary>A lease that waited for a response, see <see cref="TryEnter(out int)"/>, waits no longer.</summary>
    internal void EndAwaiting() => _adaptive!.Leave();

    // Never counts above the limit, not even for an instant: another thread would then wait although there is room.
    private bool TryCount()
    {
        ref var count = ref _counts[Slot];
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

    internal void CountFailure(FailureKind kind) => Interlocked.Increment(ref _failureKinds[(int)kind]);

    internal void Leave(AttemptOutcome outcome)
    {
        Interlocked.Decrement(ref _counts[Slot]);
        if (OutlierCounts is { } outliers && outcome != AttemptOutcome.Abandoned)
        {
            outliers.CountAttempt(outcome == AttemptOutcome.Succeeded);
        }
        if (outcome is AttemptOutcome.ConnectFailed or AttemptOutcome.Failed)
        {
            Interlocked.Increment(ref _failures);
        }
    }

    private void SetLimit() => _maxInFlight = Math.Min(_configuredLimit ?? int.MaxValue, Agent.Limit ?? int.MaxValue);
}
