using System.Text.Json.Nodes;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Discovery;
using LoadBalancer.Files;
using LoadBalancer.Health;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tls;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// A pool of a node with its forwarder, probes and connections. New options are applied in two steps: <see cref="Prepare"/> makes
/// the parts that may fail, <see cref="Commit"/> publishes them. Changes come one at a time, under <see cref="NodePoolParts.Gate"/>.
/// </summary>
internal sealed partial class NodePool : IDisposable
{
    // Work that uses a pool may be neither in flight nor queued, but for less than this: for a moment between two attempts, or for ten
    // seconds in a client's TLS handshake.
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan DrainPoll = TimeSpan.FromMilliseconds(100);

    private readonly string _name;
    private readonly NodePoolParts _parts;
    private readonly ILogger _logger;
    private readonly SlowStart _slowStart;
    private readonly OutlierDetector _outliers;
    private readonly HashSet<Backend> _leaving = []; // draining; removed when idle
    private readonly HandedPool? _handed; // by the process that this one replaces; null after the start
    private readonly PoolSources _sources;
    private readonly PoolMembers _backends;
    private PoolState _state;
    private PoolOptions _members; // the same options with the members that there are now; operators may have changed them
    private bool _isDisposed;
    private bool _isTooLarge; // There was no room for the members that were found last.

    /// <summary>Makes a pool; the options must be valid.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="options">Its options.</param>
    /// <param name="parts">What the pools of a node have in common.</param>
    /// <param name="knownHealth">The known health of a backend address; null if it is not known.</param>
    /// <exception cref="StartException">The file of its sticky key or of its backends cannot be used.</exception>
    public NodePool(string name, PoolOptions options, NodePoolParts parts, Func<EndpointAddress, BackendHealth?> knownHealth)
    {
        (_name, _parts, _logger) = (name, parts, parts.Loggers.CreateLogger<NodePool>());
        _handed = parts.Handed(name);
        _sources = new PoolSources(name, parts, Refresh);
        _backends = new PoolMembers(parts.Time, _sources);
        _sources.Begin(options.Dns, _handed?.Found);
        var list = _sources.Open(options, null);
        var isAwaited = _sources.Watch(options, list);
        _members = Members(options, list);
        var backends = HandedPools.Begin(_handed, _members).Select(entry =>
            _backends.New(entry.Name, entry.Options, options, knownHealth(entry.Options.Address), entry.Health));
        Pool = new BackendPool(name, Policy(options.Policy), [.. backends], options.Queue.Limit);
        Pool.Change(() => (Pool.AwaitsMembers, Pool.HashKey) = (isAwaited, options.HashKey));
        HandedPools.RestoreLimits(_handed, Pool.Snapshot.Members);
        Pool.Statistics.Instruments = parts.Durations;
        Pool.FailureTime = FailureTime(options);
        parts.HealthLog.Watch(Pool);
        EjectionTimer.Watch(Pool, parts.Time, _logger);
        _slowStart = SlowStart.Watch(Pool, options.SlowStart, parts.Time, _logger);
        _outliers = new OutlierDetector(Pool, parts.Time, _logger);
        _outliers.Apply(RulesOf(options.PassiveHealth.Outliers));
        _state = NewState(options, list, null);
        _sources.Keep(options, list, Pool.Snapshot.Members); // The configuration may no longer have all names that were handed.
        _handed = null;
    }

    /// <summary>The pool itself.</summary>
    public BackendPool Pool { get; }

    /// <summary>Forwards requests to it.</summary>
    public HttpForwarder Forwarder => _state.Forwarder;

    /// <summary>How it is probed; null where it is not.</summary>
    public ProbedPool? Probed => _state.Probed;

    /// <summary>How it takes heartbeats; null where it takes none.</summary>
    public HeartbeatPool? Heartbeats =>
        _state.Options.Heartbeat is { } heartbeat ? new HeartbeatPool(Pool, heartbeat, _state.Options.Backends) : null;

    /// <summary>How often names of its backends were looked up.</summary>
    public LookupCounts Lookups => _sources.Lookups;

    /// <summary>Begins to look up the names of its backends, when it was published.</summary>
    public void Start()
    {
        Judge(_state.Options, _state.List);
        _sources.Start();
    }

    /// <summary>Makes the parts for new options, for <see cref="Commit"/> or <see cref="Discard"/>. Nothing changes yet.</summary>
    /// <exception cref="StartException">
    /// The file of its sticky key or of its backends cannot be used, or there are too many backends.
    /// </exception>
    /// <param name="options">The options.</param>
    /// <param name="keepsMembers">Whether the members stay as they are: <see cref="PoolState.KeepsMembers"/>.</param>
    public PoolState Prepare(PoolOptions options, bool keepsMembers = false)
    {
        var next = NewState(options, _sources.Open(options, _state), _state) with { KeepsMembers = keepsMembers };
        if (keepsMembers)
        {
            return next;
        }
        var members = Pool.Snapshot.Members.Select(member => (member.Name, member.Address)).ToHashSet();
        try
        {
            Pool.RequireSlots(Members(options, next.List).Backends
                .Count(entry => !members.Contains((entry.Key, entry.Value.Address))));
        }
        catch (InvalidOperationException e)
        {
            Discard(next);
            throw new StartException($"pool '{Pool.Name}': {e.Message}, those included that left in the last minute", e);
        }
        return next;
    }

    /// <summary>
    /// Publishes new options. A backend with the same name and address keeps its health, counters and connections. It also keeps what an
    /// operator has set at run time, unless the new options change that setting. Other backends join or leave.
    /// </summary>
    public void Commit(PoolState next)
    {
        var (before, options, membersBefore) = (_state, next.Options, _members);
        _state = next;
        var isAwaited = _sources.Watch(options, next.List);
        _members = next.KeepsMembers ? options with { Backends = _members.Backends } : Judge(options, next.List);
        HashSet<Backend> stay = [.. _leaving];
        if (!next.KeepsMembers)
        {
            _leaving.Clear();
        }
        Pool.RequestQueue.Limit = options.Queue.Limit;
        Pool.FailureTime = FailureTime(options);
        _slowStart.Duration = options.SlowStart;
        _outliers.Apply(RulesOf(options.PassiveHealth.Outliers));
        Pool.Update(update =>
        {
            if (!next.KeepsMembers)
            {
                _backends.Update(update, membersBefore, _members, stay, before.Options.IsJoined && options.IsJoined);
            }
            if (options.Policy != before.Options.Policy)
            {
                update.SetPolicy(Policy(options.Policy));
            }
            (Pool.AwaitsMembers, Pool.HashKey) = (isAwaited, options.HashKey);
        });
        _sources.Keep(options, next.List, Pool.Snapshot.Members);
        if (before.List != next.List)
        {
            before.List?.Dispose();
        }
        if (before.Trust != next.Trust)
        {
            before.Trust.Dispose(); // Open connections keep the certificates that were read.
        }
        if (before.Handler != next.Handler)
        {
            BackgroundTask.Run(DisposeLaterAsync(before.Handler), _logger, $"pool '{Pool.Name}': closing old connections");
        }
    }

    /// <summary>Disposes of the parts that were made for options that are not published.</summary>
    public void Discard(PoolState next)
    {
        if (next.List != _state.List)
        {
            next.List?.Dispose();
        }
        if (next.Trust != _state.Trust)
        {
            next.Trust.Dispose();
        }
        if (next.Handler != _state.Handler)
        {
            next.Handler.Dispose();
        }
    }

    /// <summary>Adds a backend, or replaces the one of that name if its address is another, until the next <see cref="Commit"/>.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="address">Its address.</param>
    /// <param name="weight">Its weight.</param>
    /// <param name="state">Its admin state; null to leave it, or Ready where it is new or drains.</param>
    public Backend Put(string name, EndpointAddress address, int weight, AdminState? state)
    {
        var existing = Pool.Snapshot.Members.FirstOrDefault(member => member.Name == name);
        if (existing?.Address == address)
        {
            _leaving.Remove(existing); // It was to be removed, and stays.
            var next = state ?? (existing.AdminState == AdminState.Draining ? AdminState.Ready : existing.AdminState);
            Pool.Change(() => (existing.Weight, existing.AdminState) = (weight, next));
            return existing;
        }
        // What file or names say of it holds again, for example that it is a backup.
        var known = _members.Backends.GetValueOrDefault(name) is { } member && member.Address == address ? member : new BackendOptions();
        var options = known with { Address = address, Weight = weight, AdminState = state ?? AdminState.Ready };
        var backend = _backends.NewJoining(name, options, _state.Options);
        Pool.ChangeMembers(members =>
            existing is not null && members.Contains(existing) ? members.Replace(existing, backend) : members.Add(backend));
        return backend;
    }

    /// <summary>
    /// Lets a backend finish what it has in flight, and removes it, unless a <see cref="Commit"/> before that keeps it.
    /// </summary>
    public void Delete(Backend backend) =>
        BackgroundTask.Run(DeleteAsync(backend), _logger, $"pool '{Pool.Name}': removing backend '{backend.Name}'");

    /// <summary>Compares its members with its options: <see cref="Differences"/>.</summary>
    public JsonObject Compare(JsonArray found)
    {
        lock (_parts.Gate)
        {
            return Differences.Of(Pool, _state.Options, _members, _leaving, found);
        }
    }

    /// <summary>Describes it for the process that replaces this one.</summary>
    public HandedPool HandOver() => HandedPools.Of(Pool, _members, _state.StickyKey?.Key, _leaving, _sources.HandOver());

    /// <summary>
    /// Retires the pool, which no listener uses any more. Its backends stay until it was unused for a minute: a request that has looked
    /// it up before, waits in its queue or is retried is still served. Relayed connections may last for hours.
    /// </summary>
    /// <returns>Whether it was disposed of; false if the token was cancelled.</returns>
    public async Task<bool> DrainAsync(CancellationToken cancellationToken)
    {
        _parts.HealthLog.Unwatch(Pool);
        long before;
        do
        {
            before = Requests();
            await Task.Delay(Grace, _parts.Time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancellationToken.IsCancellationRequested)
            {
                return false;
            }
        }
        while (!Pool.IsIdle || Requests() != before);
        Pool.SetMembers([]);
        Dispose();
        return true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_parts.Gate)
        {
            _isDisposed = true;
            _sources.Dispose();
        }
        _outliers.Dispose();
        _state.List?.Dispose();
        _state.Trust.Dispose();
        _state.Handler.Dispose();
    }

    // Takes up what the file or the DNS says now, if there is room. What operators have changed stays so: only who comes and goes changes.
    private bool Refresh()
    {
        lock (_parts.Gate)
        {
            if (_isDisposed)
            {
                return true;
            }
            var isAwaited = _sources.Watch(_state.Options, _state.List);
            var (before, now) = (_members, Members(_state.Options, _state.List));
            var change = MemberChange.Of(before.Backends, now.Backends);
            try
            {
                Pool.RequireSlots(change.Joined.Count);
            }
            catch (InvalidOperationException e)
            {
                if (!_isTooLarge)
                {
                    _isTooLarge = true;
                    LogTooMany(Pool.Name, $"{change}", e.Message);
                }
                return false;
            }
            (_members, _isTooLarge) = (Judge(_state.Options, _state.List), false);
            Pool.Update(update =>
            {
                Pool.AwaitsMembers = isAwaited;
                update.Members = _backends.Refresh(update.Members, before, now, change);
            });
            _sources.Keep(_state.Options, _state.List, Pool.Snapshot.Members);
            if (!change.IsNone)
            {
                LogMembers(Pool.Name, $"{change}", Pool.Snapshot.Members.Length);
            }
            return true;
        }
    }

    private async Task DeleteAsync(Backend backend)
    {
        lock (_parts.Gate)
        {
            Pool.Change(() => backend.AdminState = AdminState.Draining);
            if (!_leaving.Add(backend))
            {
                return; // It drains already.
            }
        }
        while (backend.InFlight > 0 && backend.AdminState == AdminState.Draining)
        {
            await Task.Delay(DrainPoll, _parts.Time);
        }
        lock (_parts.Gate)
        {
            // Not if an operator has set it to Ready again.
            if (_leaving.Remove(backend) && backend.AdminState == AdminState.Draining)
            {
                Pool.ChangeMembers(members => members.Remove(backend));
            }
        }
    }

    // A request that has just looked up its forwarder may still need the former handler.
    private async Task DisposeLaterAsync(HttpMessageHandler handler)
    {
        await Task.Delay(Grace, _parts.Time);
        handler.Dispose();
    }

    // A relayed connection counts as answered when it is open.
    private static TimeSpan FailureTime(PoolOptions options) => options.IsHttp ? options.Timeouts.Response : options.Timeouts.Connect;

    private long Requests() => Pool.Snapshot.Members.Sum(member => member.Requests);

    // Connections are kept across a change of options, unless the options of connections change.
    private PoolState NewState(
        PoolOptions options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? list, PoolState? before)
    {
        var key = StickyKeyFor(options, before); // First, because it may fail.
        var trust = before is not null && options.Tls == before.Options.Tls
            ? before.Trust
            : new BackendTrust(Pool.Name, options.Tls, _parts.Time, _parts.Loggers.CreateLogger<BackendTrust>());
        var isSameUpstream = before is not null && trust == before.Trust && options.HttpVersion == before.Options.HttpVersion;
        var keepsConnections = isSameUpstream && options.Timeouts == before!.Options.Timeouts;
        var handler = keepsConnections ? before!.Handler : HttpForwarder.CreateHandler(options, trust, _parts.Time);
        // Not from IHttpClientFactory, which keeps a handler for each name: this handler belongs to the pool and is disposed of with it.
        // The handler has the time-outs, so that a slow message that makes progress is never cut.
        var client = keepsConnections
            ? before!.Client
            : new HttpClient(handler, disposeHandler: false) { Timeout = Timeout.InfiniteTimeSpan };
        var logger = _parts.Loggers.CreateLogger<HttpForwarder>();
        var forwarder = new HttpForwarder(
            Pool, options, key, client, _parts.Time, _parts.Errors, logger, _parts.Stopping, before?.Forwarder);
        var keepsProbes = isSameUpstream && IsSame(options.HealthCheck, before!.Options.HealthCheck);
        return new PoolState(
            options, list, key, trust, handler, client, forwarder, keepsProbes ? before!.Probed : NewProbed(options, trust));
    }

    private ProbedPool? NewProbed(PoolOptions options, BackendTrust trust)
    {
        if (options.HealthCheck is not { } check)
        {
            return null;
        }
        IProbe probe = (check.Type ?? (options.IsHttp ? ProbeType.Http : ProbeType.Tcp)) switch
        {
            ProbeType.Http => new HttpProbe(ProbeSender.SendAsync, trust, check, options.HttpVersion, _parts.Time),
            ProbeType.Tcp => new TcpProbe(check, _parts.Time),
            ProbeType.Grpc => new GrpcProbe(ProbeSender.SendAsync, trust, check, _parts.Time),
            ProbeType.Agent => new AgentProbe(check, _parts.Time),
        };
        return new ProbedPool(Pool, check, probe);
    }

    private static bool IsSame(HealthCheckOptions? here, HealthCheckOptions? there) =>
        here is null || there is null ? here == there : ListenerOptions.HaveSameSettings(here, there);

    private static OutlierRules? RulesOf(OutlierOptions? options) => options is null ? null : new(
        options.StandardDeviations, options.MinHosts, options.MinRequests, options.Interval, options.MaxShare, options.CountServerErrors);

    /// <summary>The policy with this name, without backends.</summary>
    internal static IBalancingPolicy Policy(PolicyName name) => name switch
    {
        PolicyName.RoundRobin => new RoundRobinPolicy(),
        PolicyName.LeastConnections => new LeastConnectionsPolicy(Random.Shared),
        PolicyName.ResponseTime => new ResponseTimePolicy(Random.Shared),
        PolicyName.IpHash => new HashPolicy("IpHash", Random.Shared),
        PolicyName.Hash => new HashPolicy("Hash", Random.Shared),
        PolicyName.Random => new RandomPolicy(Random.Shared),
        PolicyName.PowerOfTwoChoices => new PowerOfTwoChoicesPolicy(Random.Shared),
        PolicyName.First => new FirstPolicy(),
        PolicyName.HotCold => new HotColdPolicy(Random.Shared),
    };

    [LoggerMessage(194, LogLevel.Information, "pool '{Pool}': {Change}; members now: {Count}")]
    private partial void LogMembers(string pool, string change, int count);

    [LoggerMessage(195, LogLevel.Warning,
        "pool '{Pool}': the members stay as they are ({Change}): {Reason}, those included that left in the last minute")]
    private partial void LogTooMany(string pool, string change, string reason);
}
