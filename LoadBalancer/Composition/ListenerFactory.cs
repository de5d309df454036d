using LoadBalancer.Acme;
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
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tasks;
using LoadBalancer.Tcp;
using LoadBalancer.Transport;

namespace LoadBalancer.Composition;

/// <summary>What the listeners of a node have in common.</summary>
/// <param name="Pools">The pools.</param>
/// <param name="Sockets">Binds their addresses.</param>
/// <param name="AccessLogs">Their access logs.</param>
/// <param name="Errors">Records each error that a client sees.</param>
/// <param name="Durations">Record the durations of requests for readers that need each single one.</param>
/// <param name="Tracing">Has the traces of requests.</param>
/// <param name="Lifetime">Says when the node stops.</param>
/// <param name="Time">The clock.</param>
/// <param name="Loggers">Make loggers.</param>
internal sealed record NodeListenerParts(
    NodePools Pools, ListenSockets Sockets, AccessLogs AccessLogs, ErrorStatistics Errors, DurationInstruments Durations,
    NodeTracing Tracing, IHostApplicationLifetime Lifetime, TimeProvider Time, ILoggerFactory Loggers)
{
    /// <summary>How the broker of a listener begins where another process was replaced; null, as most often, where none was.</summary>
    public Func<string, BrokerStart?> BrokerStart { get; init; } = _ => null;

    /// <summary>What decides in a cluster which node serves a Broker listener; null where there is no cluster.</summary>
    public Func<string, BrokerListenerOptions, MainLease>? MainLease { get; init; }

    /// <summary>Answers authorities that ask for names whose certificates are got, on plain Http listeners.</summary>
    public Challenges Challenges { get; init; } = new();
}

/// <summary>Makes listeners, their routing tables and relay targets.</summary>
internal sealed class ListenerFactory(NodeListenerParts parts)
{
    private volatile int _httpsPort;

    /// <summary>Counts of the copies of requests that routes of the Http listeners have sent to other pools.</summary>
    public MirrorCounts Mirrored { get; } = new();

    /// <summary>Applies what one listener has to know of the others.</summary>
    public void Apply(LoadBalancerOptions options) =>
        _httpsPort = options.Listeners.Values.Select(one => one.Address).FirstOrDefault(address => address.Scheme == "https")?.Port ?? 443;

    /// <summary>Makes a listener, and whatever it needs.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="listener">Its options.</param>
    /// <param name="plan">What it may use.</param>
    /// <param name="before">The Http listener of that name whose place it takes; null where there is none.</param>
    /// <exception cref="StartException">A file cannot be used.</exception>
    public NodeListener Make(string name, ListenerOptions listener, ListenerPlan plan, HttpState? before)
    {
        if (listener is not HttpListenerOptions http)
        {
            return new NodeListener(Make(name, listener, plan), listener, null);
        }
        var state = before;
        if (state is null)
        {
            var rejections = new GuardRejections(name, parts.Errors);
            state = new HttpState(new Routing(Table(name, http, plan, rejections, null)), rejections);
        }
        return new NodeListener(Make(name, http, state), http, state);
    }

    /// <summary>Makes the routing table of an Http listener.</summary>
    /// <exception cref="StartException">A file cannot be used.</exception>
    public RouteTable Table(string name, HttpListenerOptions listener, ListenerPlan plan, GuardRejections rejections, RouteTable? before)
    {
        var guards = plan.Guards;
        return new RouteTable(listener, new RouteParts(
            plan.Forwarders,
            guards.Limiters.ToDictionary(entry => entry.Key, entry => entry.Value.Instance, StringComparer.OrdinalIgnoreCase),
            guards.Authenticators.ToDictionary(entry => entry.Key, entry => entry.Value.Instance, StringComparer.OrdinalIgnoreCase),
            rejections,
            new RouteFiles(parts.Time, parts.Loggers.CreateLogger<Routing>()),
            StatisticsOf(name, listener.Routes.Count, before))
        {
            Mirrored = Mirrored,
        });
    }

    /// <summary>Where the connections of a Tcp listener go.</summary>
    public static RelayTarget Target(TcpListenerOptions listener, ListenerPlan plan) =>
        new(listener, plan.Pools.Find(listener.Pool), plan.Options.Pools[listener.Pool]);

    /// <summary>How long a client may take no byte: the same limit as for a backend. In both cases no byte of the message moves.</summary>
    public static TimeSpan SendTimeout(LoadBalancerOptions options) => options.Pools.Values.Max(pool => pool.Timeouts.Idle);

    private IListener Make(string name, ListenerOptions listener, ListenerPlan plan) => listener switch
    {
        TcpListenerOptions tcp => new TcpRelayListener(name, tcp, Target(tcp, plan), parts.Sockets, parts.Time, parts.Loggers),
        BrokerListenerOptions broker => new BrokerListener(
            name, broker, plan.Pools.Find(listener.Pool), parts.Errors, parts.Sockets, parts.Time, parts.Loggers,
            parts.MainLease?.Invoke(name, broker))
        {
            Begin = parts.BrokerStart(name),
        },
        TasksListenerOptions tasks => new TasksListener(
            name, tasks, plan.Pools.Find(listener.Pool), plan.Options.Pools[tasks.Pool].Timeouts.Idle, parts.Sockets, parts.Time,
            parts.Loggers),
        _ => throw new InvalidOperationException($"no listener speaks {listener.Protocol}"),
    };

    private KestrelListener Make(string name, HttpListenerOptions http, HttpState state)
    {
        var log = parts.AccessLogs.For(http);
        var pipeline = Pipeline(http, state.Routing, log is not null);
        return new KestrelListener(name, http, pipeline, log, parts.Errors, parts.Sockets, parts.Time, parts.Loggers);
    }

    // A request passes these from the last line to the first.
    private RequestDelegate Pipeline(HttpListenerOptions listener, Routing routing, bool hasAccessLog)
    {
        RequestDelegate next = new ProxyMiddleware(routing, hasAccessLog, parts.Time, parts.Tracing).InvokeAsync;
        next = HttpsMiddleware.IsNeeded(listener) ? new HttpsMiddleware(next, listener, routing, () => _httpsPort).InvokeAsync : next;
        return listener.StatusEndpoints ? new StatusMiddleware(next, () => parts.Pools.All, parts.Lifetime).InvokeAsync : next;
    }

    // A route of the same name goes on counting; routes of one name count together.
    private Func<string, RouteStatistics> StatisticsOf(string listener, int count, RouteTable? before)
    {
        var made = new Dictionary<string, RouteStatistics>(StringComparer.Ordinal);
        return name => before?.Statistics.GetValueOrDefault(name) ?? (made.TryGetValue(name, out var known) ? known
            : made[name] = new RouteStatistics(listener, name, count, parts.Durations));
    }
}

/// <summary>What listeners and routes of a configuration may use.</summary>
/// <param name="Options">The configuration.</param>
/// <param name="Pools">The pools that there will be.</param>
/// <param name="Guards">The guards that there will be.</param>
internal sealed record ListenerPlan(LoadBalancerOptions Options, PoolsChange Pools, GuardSet Guards)
{
    /// <summary>A forwarder for each pool, by name.</summary>
    public IReadOnlyDictionary<string, HttpForwarder> Forwarders { get; } = Pools.Forwarders();
}
