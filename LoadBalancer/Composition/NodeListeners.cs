using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Routes;
using LoadBalancer.Http.Server;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Listeners;
using LoadBalancer.Management;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tasks;
using LoadBalancer.Tcp;

namespace LoadBalancer.Composition;

/// <summary>The listeners of a node, each with its pipeline; changes that need no restart are applied to them.</summary>
internal sealed class NodeListeners : IDisposable
{
    private readonly NodePools _pools;
    private readonly AccessLogs _accessLogs;
    private readonly ErrorStatistics _errors;
    private readonly DurationInstruments _durations;
    private readonly NodeTracing _tracing;
    private readonly IHostApplicationLifetime _lifetime;
    private readonly TimeProvider _time;
    private readonly ILoggerFactory _loggers;
    private readonly Dictionary<string, GuardRejections> _rejections = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, Routing> _routing = new(StringComparer.OrdinalIgnoreCase);
    // The options that name the pools in use.
    private readonly Dictionary<string, ListenerOptions> _routedBy = new(StringComparer.OrdinalIgnoreCase);
    private readonly List<IListener> _listeners = [];
    private readonly NodeGuards _guards;

    /// <summary>Makes the listeners; the options must be valid.</summary>
    /// <exception cref="StartException">One of them cannot be made; none is left open.</exception>
    public NodeListeners(
        LoadBalancerOptions options, PoolsChange change, NodePools pools, AccessLogs accessLogs, ErrorStatistics errors,
        DurationInstruments durations, NodeTracing tracing, IHostApplicationLifetime lifetime, TimeProvider time, ILoggerFactory loggers)
    {
        (_pools, _accessLogs, _errors, _lifetime, _time, _loggers) = (pools, accessLogs, errors, lifetime, time, loggers);
        (_durations, _tracing) = (durations, tracing);
        _guards = new NodeGuards(time, loggers);
        try
        {
            var guards = _guards.Prepare(options);
            _guards.Commit(guards);
            foreach (var (name, listener) in options.Listeners)
            {
                _listeners.Add(NewListener(name, listener, options, change, guards));
                _routedBy[name] = listener;
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The listeners, in the order of the configuration.</summary>
    public IReadOnlyList<IListener> Listeners => _listeners;

    /// <summary>The status and counters of the brokers among them.</summary>
    public IReadOnlyList<BrokerStatus> Brokers => [.. _listeners.OfType<BrokerListener>().Select(broker => broker.Status)];

    /// <summary>Counts of what the guards of the Http listeners have rejected.</summary>
    public IReadOnlyCollection<GuardRejections> Rejections => _rejections.Values;

    /// <summary>What was answered to the requests of each route, in the order of the configuration.</summary>
    public IReadOnlyList<RouteStatistics> Routes => [.. from listener in _listeners
                                                        let routing = _routing.GetValueOrDefault(listener.Name)
                                                        where routing is not null
                                                        from route in routing.Current.Statistics.Values
                                                        select route];

    /// <summary>Counts of the copies of requests that routes of the Http listeners have sent to other pools.</summary>
    public MirrorCounts Mirrored { get; } = new();

    /// <summary>Their certificates.</summary>
    public IReadOnlyList<CertificateStatus> Certificates => [.. _listeners.SelectMany(listener => listener.Certificates)];

    /// <summary>
    /// What a listener has in flight, in words; null where that is nothing. Of Http listeners that share a pool each has all of it.
    /// </summary>
    public string? InFlight(IListener listener)
    {
        var pools = _routedBy[listener.Name].PoolNames.Distinct(StringComparer.OrdinalIgnoreCase).Select(_pools.Find).OfType<BackendPool>();
        return listener switch
        {
            TcpRelayListener tcp => Text(tcp.Connections, "connection"),
            TasksListener { Counts: var counts } => Text(counts.Waiting + counts.Running, "task"),
            _ => Text(pools.Sum(pool => pool.WaitingCount + pool.Snapshot.Members.Sum(backend => backend.InFlight)), "request"),
        };

        static string? Text(int count, string what) => count switch { 0 => null, 1 => $"1 {what}", _ => $"{count} {what}s" };
    }

    /// <summary>
    /// The names of the pools that listeners keep using despite new options: these listeners need a restart, and do not change before
    /// it.
    /// </summary>
    public IReadOnlyCollection<string> PoolsInUse(LoadBalancerOptions options) =>
    [
        .. from listener in _listeners
           where !CanBeRerouted(listener, options)
           from pool in _routedBy[listener.Name].PoolNames
           select pool,
    ];

    /// <summary>Makes the routing tables and relay targets for new options. Changes nothing yet.</summary>
    /// <param name="options">The options, which must be valid.</param>
    /// <param name="change">The pools that there will be.</param>
    /// <returns>Actions that publish them; they cannot fail.</returns>
    /// <exception cref="StartException">A file cannot be used.</exception>
    public IReadOnlyList<Action> Prepare(LoadBalancerOptions options, PoolsChange change)
    {
        var guards = _guards.Prepare(options);
        try
        {
            return [() => _guards.Commit(guards), .. Switches(options, change, guards)];
        }
        catch
        {
            _guards.Discard(guards);
            throw;
        }
    }

    /// <summary>Applies the new options of the listeners themselves: trusted proxies and limits.</summary>
    /// <returns>The settings that need a restart, as text for the log.</returns>
    public IReadOnlyList<string> Apply(LoadBalancerOptions options)
    {
        var needed = new List<string>();
        foreach (var listener in _listeners)
        {
            needed.AddRange(options.Listeners.GetValueOrDefault(listener.Name) is { } now
                ? listener.Apply(now).Select(setting => $"listener '{listener.Name}': {setting} has changed")
                : [$"listener '{listener.Name}' was removed"]);
        }
        needed.AddRange(options.Listeners.Keys.Where(name => !_routedBy.ContainsKey(name)).Select(name => $"listener '{name}' was added"));
        return needed;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _listeners.ForEach(listener => listener.Dispose());
        _guards.Dispose();
    }

    private List<Action> Switches(LoadBalancerOptions options, PoolsChange change, GuardSet guards)
    {
        var forwarders = change.Forwarders();
        var switches = new List<Action>();
        foreach (var listener in _listeners.Where(listener => CanBeRerouted(listener, options)))
        {
            var now = options.Listeners[listener.Name];
            switches.Add(() => _routedBy[listener.Name] = now);
            if (listener is KestrelListener http && now is HttpListenerOptions httpNow)
            {
                var (routing, table) = (_routing[http.Name], new RouteTable(httpNow, Parts(forwarders, guards, httpNow, http.Name)));
                switches.Add(() => (routing.Current, http.ErrorPages, http.SendTimeout) = (table, table.ErrorPages, SendTimeout(options)));
            }
            else if (listener is TcpRelayListener tcp && now is TcpListenerOptions tcpNow)
            {
                var target = Target(tcpNow, options, change);
                switches.Add(() => (tcp.Target, target.Pool.IsRelayed) = (target, true));
            }
        }
        return switches;
    }

    private IListener NewListener(
        string name, ListenerOptions listener, LoadBalancerOptions options, PoolsChange change, GuardSet guards)
    {
        var pool = change.Find(listener.Pool);
        switch (listener)
        {
            case HttpListenerOptions http:
                var log = _accessLogs.For(http);
                _rejections[name] = new GuardRejections(name, _errors);
                _routing[name] = new Routing(new RouteTable(http, Parts(change.Forwarders(), guards, http, name)));
                var pipeline = Pipeline(name, http, log is not null, options);
                return new KestrelListener(name, http, pipeline, log, _errors, _time, _loggers)
                {
                    SendTimeout = SendTimeout(options),
                    ErrorPages = _routing[name].Current.ErrorPages,
                };
            case TcpListenerOptions tcp:
                pool.IsRelayed = true;
                return new TcpRelayListener(name, tcp, Target(tcp, options, change), _time, _loggers);
            case BrokerListenerOptions broker:
                return new BrokerListener(name, broker, pool, _errors, _time, _loggers);
            case TasksListenerOptions tasks:
                return new TasksListener(name, tasks, pool, options.Pools[tasks.Pool].Timeouts.Idle, _time, _loggers);
            default:
                throw new InvalidOperationException($"no listener speaks {listener.Protocol}");
        }
    }

    // A request passes these from the last line to the first.
    private RequestDelegate Pipeline(string name, HttpListenerOptions listener, bool hasAccessLog, LoadBalancerOptions options)
    {
        RequestDelegate next = new ProxyMiddleware(_routing[name], hasAccessLog, _time, _tracing).InvokeAsync;
        next = HttpsMiddleware.IsNeeded(listener)
            ? new HttpsMiddleware(next, listener, _routing[name], HttpsPort(options)).InvokeAsync
            : next;
        return listener.StatusEndpoints ? new StatusMiddleware(next, () => _pools.All, _lifetime).InvokeAsync : next;
    }

    // Not for task listeners and brokers: their workers have joined the first pool.
    private static bool CanBeRerouted(IListener listener, LoadBalancerOptions options) =>
        (listener, options.Listeners.GetValueOrDefault(listener.Name)) is
            (KestrelListener, HttpListenerOptions) or (TcpRelayListener, TcpListenerOptions);

    private static RelayTarget Target(TcpListenerOptions listener, LoadBalancerOptions options, PoolsChange change) =>
        new(listener, change.Find(listener.Pool), options.Pools[listener.Pool]);

    private RouteParts Parts(
        IReadOnlyDictionary<string, HttpForwarder> forwarders, GuardSet guards, HttpListenerOptions options, string listener) => new(
        forwarders,
        guards.Limiters.ToDictionary(entry => entry.Key, entry => entry.Value.Instance, StringComparer.OrdinalIgnoreCase),
        guards.Authenticators.ToDictionary(entry => entry.Key, entry => entry.Value.Instance, StringComparer.OrdinalIgnoreCase),
        _rejections[listener],
        new RouteFiles(_time, _loggers.CreateLogger<Routing>()),
        StatisticsOf(listener, options.Routes.Count, _routing.GetValueOrDefault(listener)?.Current))
        {
            Mirrored = Mirrored,
        };

    // A route of the same name goes on counting; routes of one name count together.
    private Func<string, RouteStatistics> StatisticsOf(string listener, int count, RouteTable? before)
    {
        var made = new Dictionary<string, RouteStatistics>(StringComparer.Ordinal);
        return name => before?.Statistics.GetValueOrDefault(name) ?? (made.TryGetValue(name, out var known) ? known
            : made[name] = new RouteStatistics(listener, name, count, _durations));
    }

    // The same limit as for a backend: in both cases no byte of the message moves.
    private static TimeSpan SendTimeout(LoadBalancerOptions options) => options.Pools.Values.Max(pool => pool.Timeouts.Idle);

    private static int HttpsPort(LoadBalancerOptions options) =>
        options.Listeners.Values.Select(listener => listener.Address).FirstOrDefault(address => address.Scheme == "https")?.Port ?? 443;
}
