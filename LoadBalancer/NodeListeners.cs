using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Server;
using LoadBalancer.Listeners;
using LoadBalancer.Management;
using LoadBalancer.Tasks;
using LoadBalancer.Tcp;

namespace LoadBalancer;

/// <summary>The listeners of a node, each with its pipeline; what of them can change without a restart does.</summary>
internal sealed class NodeListeners
{
    private readonly NodePools _pools;
    private readonly Dictionary<string, Routing> _routing = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Makes the listeners; the options must be valid.</summary>
    /// <exception cref="StartException">One of them cannot do its work.</exception>
    public NodeListeners(LoadBalancerOptions options, NodePools pools, AccessLogs accessLogs, IServiceProvider provider)
    {
        _pools = pools;
        var time = provider.GetRequiredService<TimeProvider>();
        var loggers = provider.GetRequiredService<ILoggerFactory>();
        var forwarders = pools.Forwarders;
        Listeners = [.. options.Listeners.Select(entry => Listener(entry.Key, entry.Value))];

        IListener Listener(string name, ListenerOptions listener) => listener switch
        {
            HttpListenerOptions http => HttpListener(name, http),
            TcpListenerOptions tcp => new TcpRelayListener(name, tcp, Target(tcp, options), time, loggers),
            BrokerListenerOptions broker => new BrokerListener(
                name, broker, pools.Find(broker.Pool)!, provider.GetRequiredService<ErrorStatistics>(), time, loggers),
            TasksListenerOptions tasks => new TasksListener(
                name, tasks, pools.Find(tasks.Pool)!, options.Pools[tasks.Pool].Timeouts.Idle, time, loggers),
            _ => throw new InvalidOperationException($"no listener speaks {listener.Protocol}"),
        };

        KestrelListener HttpListener(string name, HttpListenerOptions listener)
        {
            _routing[name] = new Routing(new RoutingTable(listener, forwarders));
            return new(name, listener, Pipeline(name, listener), accessLogs.For(listener), provider.GetRequiredService<ErrorStatistics>(), time, loggers) { SendTimeout = SendTimeout(options) };
        }

        RequestDelegate Pipeline(string name, HttpListenerOptions listener)
        {
            var pipeline = new ApplicationBuilder(provider);
            if (listener.StatusEndpoints)
            {
                pipeline.UseMiddleware<StatusMiddleware>(() => pools.All, provider.GetRequiredService<IHostApplicationLifetime>());
            }
            if (HttpsMiddleware.IsNeeded(listener))
            {
                pipeline.UseMiddleware<HttpsMiddleware>(listener, HttpsPort(options));
            }
            pipeline.Run(new ProxyMiddleware(_routing[name], accessLogs.For(listener) is not null).InvokeAsync);
            return pipeline.Build();
        }
    }

    /// <summary>The listeners, in the order of the configuration.</summary>
    public IReadOnlyList<IListener> Listeners { get; }

    /// <summary>What the brokers among them are and have counted.</summary>
    public IReadOnlyList<BrokerStatus> Brokers => [.. Listeners.OfType<BrokerListener>().Select(broker => broker.Status)];

    /// <summary>Applies other options, after those of the pools: where requests go, who is trusted, the limits.</summary>
    /// <returns>What of them needs a restart, in words for the log.</returns>
    public IReadOnlyList<string> Apply(LoadBalancerOptions options)
    {
        var forwarders = _pools.Forwarders;
        var needed = new List<string>();
        foreach (var listener in Listeners)
        {
            if (options.Listeners.GetValueOrDefault(listener.Name) is not { } now)
            {
                needed.Add($"listener '{listener.Name}' was removed");
                continue;
            }
            needed.AddRange(listener.Apply(now).Select(setting => $"listener '{listener.Name}': {setting} has changed"));
            if (listener is KestrelListener http && now is HttpListenerOptions httpOptions)
            {
                http.SendTimeout = SendTimeout(options);
                _routing[http.Name].Current = new RoutingTable(httpOptions, forwarders);
            }
            if (listener is TcpRelayListener tcp && now is TcpListenerOptions tcpOptions)
            {
                tcp.Target = Target(tcpOptions, options);
            }
        }
        needed.AddRange(options.Listeners.Keys.Where(name => !Listeners.Any(listener => listener.Name.Equals(name, StringComparison.OrdinalIgnoreCase))).Select(name => $"listener '{name}' was added"));
        return needed;
    }

    private RelayTarget Target(TcpListenerOptions listener, LoadBalancerOptions options)
    {
        var pool = _pools.Find(listener.Pool)!;
        pool.IsRelayed = true;
        return new RelayTarget(listener, pool, options.Pools[listener.Pool]);
    }

    // A client that takes nothing is one more reason for which no byte of a message moves.
    private static TimeSpan SendTimeout(LoadBalancerOptions options) => options.Pools.Values.Max(pool => pool.Timeouts.Idle);

    private static int HttpsPort(LoadBalancerOptions options) =>
        options.Listeners.Values.Select(listener => listener.Address).FirstOrDefault(address => address.Scheme == "https")?.Port ?? 443;
}
