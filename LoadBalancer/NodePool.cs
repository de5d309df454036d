using System.Collections.Immutable;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Health;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tls;

namespace LoadBalancer;

/// <summary>A pool of a node with all that belongs to it: who forwards to it, who probes it, what its connections are made of.</summary>
internal sealed class NodePool : IDisposable
{
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan DrainPoll = TimeSpan.FromMilliseconds(100);

    private readonly NodePoolParts _parts;
    private readonly ILogger _logger;
    private readonly SlowStart _slowStart;
    private readonly HashSet<Backend> _leaving = []; // who drains, to be removed then
    private BackendTrust _trust;
    private HttpMessageHandler? _forwarding;
    private HttpMessageHandler? _probing;
    private HttpClient? _client;
    private PoolOptions _options;
    private byte[]? _stickyKey;

    /// <summary>Makes a pool; the options must be valid.</summary>
    public NodePool(string name, PoolOptions options, byte[]? stickyKey, NodePoolParts parts)
    {
        (_parts, _options, _stickyKey) = (parts, options, stickyKey);
        Pool = new BackendPool(name, Policy(options.Policy), [.. options.Backends.Select(entry => NewBackend(entry.Key, entry.Value))], options.Queue.Limit);
        Pool.Statistics.Instruments = parts.Durations;
        parts.HealthLog.Watch(Pool);
        _logger = parts.Loggers.CreateLogger<NodePool>();
        EjectionTimer.Watch(Pool, parts.Time, _logger);
        _slowStart = SlowStart.Watch(Pool, options.SlowStart, parts.Time, _logger);
        _trust = NewTrust();
        Forwarder = NewForwarder(null);
        Probed = NewProbed();
    }

    /// <summary>The pool itself.</summary>
    public BackendPool Pool { get; }

    /// <summary>Who forwards requests to it.</summary>
    public HttpForwarder Forwarder { get; private set; } = null!;

    /// <summary>How it is probed; null where it is not.</summary>
    public ProbedPool? Probed { get; private set; }

    /// <summary>By which datagrams its backends say that they are there; null where by none.</summary>
    public HeartbeatPool? Heartbeats => _options.Heartbeat is { } heartbeat ? new HeartbeatPool(Pool, heartbeat, _options.Backends) : null;

    /// <summary>
    /// Applies other options. A backend of the same name and address keeps its health, its counters and its connections, and what an
    /// operator has set of it at run time unless the options say something else of it than before; others come and go.
    /// </summary>
    public void Apply(PoolOptions options, byte[]? stickyKey)
    {
        var before = _options;
        (_options, _stickyKey) = (options, stickyKey);
        var members = Pool.Snapshot.Members;
        var kept = (from entry in options.Backends
                    let member = members.FirstOrDefault(member => member.Name == entry.Key && member.Address == entry.Value.Address)
                    where member is not null
                    select (Backend: member, Was: before.Backends.GetValueOrDefault(entry.Key), Is: entry.Value)).ToList();
        foreach (var (member, was, now) in kept)
        {
            var rules = Rules(options, now);
            if (was is null || rules != Rules(before, was))
            {
                Pool.SetRules(member, rules);
            }
        }
        HashSet<Backend> stay = [.. _leaving];
        _leaving.Clear();
        Pool.Change(() => kept.ForEach(member => Change(member.Backend, stay.Contains(member.Backend) ? null : member.Was, member.Is)));
        if (options.Policy != before.Policy)
        {
            Pool.SetPolicy(Policy(options.Policy));
        }
        Pool.WaitingRoom.Limit = options.Queue.Limit;
        _slowStart.Duration = options.SlowStart;
        var byName = kept.ToDictionary(member => member.Backend.Name, member => member.Backend);
        ImmutableArray<Backend> wanted = [.. options.Backends.Select(entry => byName.GetValueOrDefault(entry.Key) ?? NewBackend(entry.Key, entry.Value, joins: true))];
        if (!wanted.SequenceEqual(members) && !IsJoined(before, options))
        {
            Pool.SetMembers(wanted);
        }
        if (options.Tls != before.Tls)
        {
            _trust.Dispose(); // What it has read stays good for who is still on its way.
            _trust = NewTrust();
        }
        Forwarder = NewForwarder(before);
        if (options.HealthCheck != before.HealthCheck || options.HttpVersion != before.HttpVersion || options.Tls != before.Tls)
        {
            Probed = NewProbed();
        }
    }

    /// <summary>The key of a pool's sticky sessions: the one that it has, unless its options are others now; null where it has no such sessions.</summary>
    /// <exception cref="StartException">The file that was named cannot be used.</exception>
    public static byte[]? StickyKeyFor(string name, PoolOptions options, NodePool? existing, NodePoolParts parts) =>
        options.StickySession is not { } sticky ? null
        : existing is { _stickyKey: { } key } && existing._options.StickySession == sticky ? key
        : StickyKey.Load(name, sticky.KeyFile, parts.Loggers.CreateLogger<HttpForwarder>());

    /// <summary>Adds a backend, or replaces the one of that name if its address is another, until the next <see cref="Apply"/>.</summary>
    public Backend Put(string name, EndpointAddress address, int weight)
    {
        var existing = Pool.Snapshot.Members.FirstOrDefault(member => member.Name == name);
        if (existing?.Address == address)
        {
            Pool.Change(() => (existing.Weight, existing.AdminState) = (weight, existing.AdminState == AdminState.Draining ? AdminState.Ready : existing.AdminState));
            return existing;
        }
        var backend = NewBackend(name, new BackendOptions { Address = address, Weight = weight }, joins: true);
        Pool.ChangeMembers(now => existing is not null && now.Contains(existing) ? now.Replace(existing, backend) : now.Add(backend));
        return backend;
    }

    /// <summary>Lets a backend finish what it has in flight, and removes it, unless <see cref="Apply"/> says before that it is to stay.</summary>
    public void Delete(Backend backend) =>
        BackgroundTask.Run(DeleteAsync(backend), _logger, $"pool '{Pool.Name}': removing backend '{backend.Name}'");

    private async Task DeleteAsync(Backend backend)
    {
        lock (_parts.Gate)
        {
            Pool.Change(() => backend.AdminState = AdminState.Draining);
            if (!_leaving.Add(backend))
            {
                return; // It is on its way already.
            }
        }
        while (backend.InFlight > 0 && backend.AdminState == AdminState.Draining)
        {
            await Task.Delay(DrainPoll, _parts.Time);
        }
        lock (_parts.Gate)
        {
            // Unless an operator has thought better of it.
            if (_leaving.Remove(backend) && backend.AdminState == AdminState.Draining)
            {
                Pool.ChangeMembers(members => members.Remove(backend));
            }
        }
    }

    /// <summary>Lets the pool go: nothing new comes, what is in flight may end.</summary>
    public void Retire()
    {
        Pool.SetMembers([]);
        _trust.Dispose();
        Retire(_forwarding);
        Retire(_probing);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _trust.Dispose();
        _forwarding?.Dispose();
        _probing?.Dispose();
    }

    private void Retire(HttpMessageHandler? handler) => BackgroundTask.Run(RetireAsync(handler), _logger, $"pool '{Pool.Name}': closing old connections");

    // Who has just looked up how to get to the pool may still be on its way.
    private async Task RetireAsync(HttpMessageHandler? handler)
    {
        await Task.Delay(Grace, _parts.Time);
        handler?.Dispose();
    }

    private static void Change(Backend backend, BackendOptions? was, BackendOptions now)
    {
        backend.Weight = was?.Weight == now.Weight ? backend.Weight : now.Weight;
        backend.AdminState = was?.AdminState == now.AdminState ? backend.AdminState : now.AdminState;
        backend.MaxInFlight = now.MaxInFlight;
    }

    // Who joins others that are at work starts slowly, where that is wanted.
    private Backend NewBackend(string name, BackendOptions options, bool joins = false) =>
        new(name, options.Address, new BackendHealth(Rules(_options, options), _parts.Time), options.Weight, options.MaxInFlight)
        {
            AdminState = options.AdminState,
            Ramp = joins && _options.SlowStart > TimeSpan.Zero ? SlowStart.FirstRamp : 1,
        };

    private BackendTrust NewTrust() => new(Pool.Name, _options.Tls, _parts.Time, _parts.Loggers.CreateLogger<BackendTrust>());

    // Connections are kept across a change of options unless they would be made in another way.
    private HttpForwarder NewForwarder(PoolOptions? before)
    {
        if (_client is null || before?.Timeouts != _options.Timeouts || before.HttpVersion != _options.HttpVersion || before.Tls != _options.Tls)
        {
            Retire(_forwarding);
            _forwarding = HttpForwarder.CreateHandler(_options, _trust, _parts.Time);
            _client = _parts.Clients.Create(_parts.ClientFactory, $"forward to {Pool.Name}", _forwarding);
        }
        return new HttpForwarder(Pool, _options, _stickyKey, _client, _parts.Time, _parts.Errors, _parts.Loggers.CreateLogger<HttpForwarder>(), _parts.Stopping, Forwarder);
    }

    private ProbedPool? NewProbed()
    {
        Retire(_probing);
        _probing = null;
        if (_options.HealthCheck is not { } check)
        {
            return null;
        }
        if ((check.Type ?? (_options.IsHttp ? ProbeType.Http : ProbeType.Tcp)) == ProbeType.Tcp)
        {
            return new ProbedPool(Pool, check, new TcpProbe(check, _parts.Time));
        }
        _probing = HttpProbe.CreateHandler(_trust);
        var client = _parts.Clients.Create(_parts.ClientFactory, $"probe {Pool.Name}", _probing);
        return new ProbedPool(Pool, check, new HttpProbe(client, check, _options.HttpVersion, _parts.Time));
    }

    // Its members are workers, which come and go by themselves.
    private static bool IsJoined(PoolOptions before, PoolOptions now) => before.Backends.Count == 0 && now.Backends.Count == 0;

    private static HealthRules Rules(PoolOptions options, BackendOptions backend) => new()
    {
        Probed = options.HealthCheck is not null,
        Heartbeats = options.Heartbeat is not null && backend.HeartbeatAddress is not null,
        Rise = options.HealthCheck?.Rise ?? 1,
        Fall = options.HealthCheck?.Fall ?? 1,
        Failures = options.PassiveHealth.Failures,
        FailureShare = options.PassiveHealth.FailureShare,
        Window = options.PassiveHealth.Window,
        Ejection = options.PassiveHealth.Ejection,
        LongestEjection = options.PassiveHealth.LongestEjection,
    };

    /// <summary>The policy of a name, over nobody yet.</summary>
    internal static IBalancingPolicy Policy(PolicyName name) => name switch
    {
        PolicyName.RoundRobin => new RoundRobinPolicy(),
        PolicyName.LeastConnections => new LeastConnectionsPolicy(Random.Shared),
        PolicyName.ResponseTime => new ResponseTimePolicy(Random.Shared),
        PolicyName.IpHash => new IpHashPolicy(Random.Shared),
        PolicyName.Random => new RandomPolicy(Random.Shared),
        PolicyName.PowerOfTwoChoices => new PowerOfTwoChoicesPolicy(Random.Shared),
        PolicyName.First => new FirstPolicy(),
    };
}

/// <summary>What the pools of a node have in common.</summary>
internal sealed record NodePoolParts(
    TimeProvider Time, HealthLog HealthLog, PoolClients Clients, IHttpClientFactory ClientFactory, Diagnostics.ErrorStatistics Errors, ILoggerFactory Loggers, CancellationToken Stopping)
{
    /// <summary>Held while the members of any pool change: by a new configuration, or by an operator.</summary>
    public Lock Gate { get; } = new();

    /// <summary>Where the durations of requests and tasks are recorded for readers that must hear of each one; null for nowhere.</summary>
    public DurationInstruments? Durations { get; init; }
}
