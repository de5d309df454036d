using LoadBalancer.Acme;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Diagnostics.Metrics;
using LoadBalancer.Health;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Listeners;
using LoadBalancer.Management;
using LoadBalancer.Systemd;
using LoadBalancer.Tasks;
using LoadBalancer.Transport;
using LoadBalancer.Upgrade;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace LoadBalancer.Composition;

/// <summary>A node, composed from its parts: the only type that knows all of them.</summary>
internal sealed partial class Node : IHost
{
    private readonly LoadBalancerOptions _started;
    private readonly string? _file;
    private readonly TimeProvider _time;
    private readonly ILogger _logger = null!;
    private readonly IHost _host;
    private readonly List<IHostedService> _services = []; // in the order in which the host starts them
    private readonly Stack<IDisposable> _parts = new(); // disposed of with the node, the last first
    private readonly HeartbeatService _heartbeats;
    private readonly OptionsInUse _options;
    private readonly NodeTracing _tracing;
    private readonly AccessLogs _accessLogs;
    private readonly NodeListeners _listeners;
    private readonly NodeManagement _management;
    private readonly NodeMetrics _metrics;
    private readonly AcmeKeeper _acme;
    private readonly ClusterNode? _cluster; // null where it is alone
    private readonly NodeSharing? _sharing;
    private readonly NodeConfiguration? _configuration; // null where it is not shared
    private readonly NodeMains? _mains;

    private readonly Upgrader? _upgrader; // null where nothing is known about how the process was started
    private readonly NodeHandover _handover;

    private Node(LoadBalancerOptions options, TimeProvider time, LoadedConfiguration? configuration, NodeStart start)
    {
        var known = KnownState.Of(options.Cluster, start);
        if (configuration is not null && options.Cluster?.ShareConfiguration == true)
        {
            _configuration = new NodeConfiguration(configuration, known!.Copy.Configuration);
            (configuration, options) = (_configuration.Loaded, _configuration.Loaded.Options);
        }
        (_started, _file, _time) = (options, configuration?.File, time);
        _options = new OptionsInUse(options, start.State, ApplyAsync, time);
        options = _options.InUse;
        try
        {
            Own(_options);
            // 1. What only the container of the host has.
            _host = Own(NewHost(options, time));
            var loggers = Services.GetRequiredService<ILoggerFactory>();
            _logger = loggers.CreateLogger<Node>();
            var lifetime = Services.GetRequiredService<IHostApplicationLifetime>();

            // 2. Counters. Metrics read them later, when all parts exist.
            Errors = new ErrorStatistics(time);
            _metrics = Own(new NodeMetrics(() => Pools!.All, Counts));
            IncludeMetrics(options);
            Sockets = Own(new ListenSockets());
            start.Sockets.ToList().ForEach(Sockets.Offer);

            _tracing = Own(new NodeTracing(loggers.CreateLogger<NodeTracing>()));
            _tracing.Apply(options.Tracing);

            // 3. Pools and their health checks.
            var health = Own(new HealthChecker(time, Random.Shared, loggers.CreateLogger<HealthChecker>()));
            _heartbeats = Own(new HeartbeatService(Sockets, time, loggers.CreateLogger<HeartbeatService>()));
            _sharing = options.Cluster is null ? null
                : Own(new NodeSharing(options.Cluster, known!, time, loggers.CreateLogger<NodeSharing>()));
            var healthLog = new HealthLog(loggers.CreateLogger<HealthLog>());
            var poolParts = new NodePoolParts(time, healthLog, Errors, _metrics.Durations, loggers, lifetime.ApplicationStopping)
            {
                Handed = start.FindPool,
                Shared = _sharing?.Pools,
            };
            Pools = Own(new NodePools(poolParts, health, _heartbeats));
            using var pools = Pools.Prepare(options.Pools);
            Pools.Commit(pools);
            poolParts.Handed = _ => null; // A pool that comes later is another one.

            // 4. Listeners, which use the pools.
            _accessLogs = Own(new AccessLogs(time, loggers.CreateLogger<AccessLog>()));
            var challenges = new Challenges();
            challenges.Restore(start.State?.Challenges ?? []);
            _mains = options.Cluster is null ? null
                : Own(new NodeMains(
                    options.Cluster, () => _cluster!, start.StateOf(options.Cluster), loggers.CreateLogger<NodeMains>(),
                    lifetime.ApplicationStopping));
            var listenerParts = new NodeListenerParts(
                Pools, Sockets, _accessLogs, Errors, _metrics.Durations, _tracing, lifetime, time, loggers)
            {
                Challenges = challenges,
                MainLease = _mains is null ? null : _mains.For,
                BrokerStart = name => _listeners is null ? start.FindBroker(name) : null, // one that comes later begins as any other
            };
            var held = Services.GetRequiredService<HeldLines>();
            _listeners = Own(new NodeListeners(options, pools, listenerParts, held.Release, () => HostOptions.ShutdownTimeout));

            // 5. What operators see and change: events, the configuration file, the management listener, OTLP.
            var eventLogger = loggers.CreateLogger<EventHub>();
            var events = Own(new EventHub(
                () => Pools.All, () => _listeners.Routes, () => _listeners.Brokers, () => Certificates, Errors, time, eventLogger));
            events.Restore(start.State?.Events ?? []);
            var systemd = new ServiceManager(
                Environment.GetEnvironmentVariable(ServiceManager.Variable), time, loggers.CreateLogger<ServiceManager>());
            if (configuration is not null)
            {
                var reloaderLogger = loggers.CreateLogger<ConfigurationReloader>();
                Reloader = Own(new ConfigurationReloader(configuration, ApplyAsync, events.Note, time, reloaderLogger)
                {
                    Announce = begins => (begins ? (Action)systemd.Reloading : systemd.Ready)(),
                    Wanted = _configuration?.Wanted ?? configuration.Pushed,
                    Tried = (pushed, result) => _configuration?.Tried(pushed, result),
                });
            }
            _upgrader = start.Command is not { } command ? null : new Upgrader(
                command, () => _handover!.Offer(), () => _handover!.LeaveAsync(isReplaced: true), () => !_listeners.Turns.IsCompleted, time,
                loggers.CreateLogger<Upgrader>(), lifetime.ApplicationStopping)
            {
                GoOn = () => _acme?.GoOn(),
            };
            NodeRates? rates = null;
            if (options.Cluster is { } cluster)
            {
                var place = start.State is { } state ? new ClusterStart(state.Cluster, start.PredecessorLeaves) : null;
                _cluster = Own(new ClusterNode(
                    cluster, place, () => Management?.Address, events.Note, time, loggers.CreateLogger<ClusterNode>())
                {
                    Configuration = () => _configuration?.Member,
                });
                _cluster.CountChanged += _listeners.Share;
                _configuration?.Follow(
                    _cluster, cluster, Reloader!, _sharing!.Save, time, loggers.CreateLogger<NodeConfiguration>());
                _sharing!.Follow(_cluster, Pools, _configuration);
                rates = new NodeRates(
                    _cluster, cluster.NodeName, () => Management is null ? null : events.Totals(), Random.Shared,
                    new ClusterLog(cluster.Name, loggers.CreateLogger<ClusterNode>()));
            }
            var acmeLogger = loggers.CreateLogger<AcmeKeeper>();
            var sharing = _cluster is null || options.Cluster?.SecretFile is null ? null : new AcmeSharing(
                options.Cluster,
                new AcmeSharingParts(_cluster.Etcd, _cluster.Keys, challenges, _cluster.Clock, time, acmeLogger));
            _acme = Own(new AcmeKeeper(challenges, events.Note, time, acmeLogger, sharing));
            _acme.Apply(options);
            var local = new LocalChanges(Pools.Put, Pools.Delete);
            var administration = new PoolAdministration(
                _sharing is null ? local : _sharing.Changes(Pools, local), loggers.CreateLogger<PoolAdministration>());
            var audit = new AuditLog(time, loggers.CreateLogger<AuditLog>());
            audit.Restore(start.State?.Audit ?? []);
            var changes = Own(new AuditedChanges(audit, events, () => _upgrader?.IsUnderWay == true));
            var control = new NodeControl(
                _file, Reloader is null ? null : Reloader.ReloadAsync, () => Reloader?.Last, _upgrader, options.Cluster?.Name, time);
            var view = new NodeView(
                () => NodeDescription.Listeners(_listeners.All, Management), () => NodeDescription.Routes(_listeners.All),
                () => NodeDescription.Configuration(_file, _options.Now, Pools.Compare), _options.Find, _options.ChangeAsync);
            var parts = new ManagementParts(
                () => Pools.All, administration, changes, events, Errors, () => PrometheusText.Of(_metrics), control, view,
                new BodyReader(time), rates is null ? null : rates.Describe, _configuration?.Api, lifetime);
            RequestDelegate Endpoints(ManagementGuard guard) => new ManagementEndpoints(guard, parts).InvokeAsync;
            _management = Own(new NodeManagement(events, audit, Endpoints, Sockets, time, loggers));
            if (_management.Prepare(options.Management) is { } management)
            {
                _management.Adopt(management);
            }
            var otlp = OtlpExport.IsWanted ? Own(new OtlpExport()) : null;

            _handover = new NodeHandover(
                start, Sockets, Pools, _listeners, _management, _heartbeats, _acme, _cluster, _sharing, _mains, events, audit, _options,
                Reloader, _upgrader, systemd, loggers.CreateLogger<NodeHandover>());

            // Started in this order, stopped in reverse: the management listener answers /health until everything else has stopped.
            // A process that replaces another one accepts nothing before it knows which backends can serve.
            // What the cluster uses now holds for the first request.
            var catchUp = new StartStep(CatchUpAsync);
            IHostedService?[] rest = [_heartbeats, _accessLogs, catchUp, _listeners.Service, _acme, Reloader, _handover];
            IHostedService?[] services = start.State is null
                ? [_management, _cluster, _sharing, otlp, _tracing, health, .. rest]
                : [health, _handover.Settling, _management, _cluster, _sharing, otlp, _tracing, .. rest];
            _services.AddRange(services.OfType<IHostedService>());
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public IServiceProvider Services => _host.Services;

    /// <summary>Its pools.</summary>
    public NodePools Pools { get; }

    /// <summary>Its listeners for clients, in the order of the configuration.</summary>
    public IReadOnlyList<IListener> Listeners => _listeners.Listeners;

    /// <summary>The listener for operators; null where there is none.</summary>
    public ManagementListener? Management => _management.Listener;

    /// <summary>Binds the addresses of its listeners.</summary>
    public ListenSockets Sockets { get; }

    /// <summary>Applies changes of the configuration file; null if there is no file.</summary>
    public ConfigurationReloader? Reloader { get; }

    /// <summary>The errors that clients have seen.</summary>
    public ErrorStatistics Errors { get; }

    /// <summary>Completes when another process serves in place of this one.</summary>
    public Task Replaced => _upgrader?.Replaced ?? new TaskCompletionSource().Task;

    /// <summary>Composes a node that follows its configuration file; the options in it must be valid.</summary>
    /// <param name="configuration">The configuration.</param>
    /// <param name="time">The clock.</param>
    /// <param name="start">How the process was started; null where nothing is known about that.</param>
    /// <exception cref="StartException">A file that the options name cannot be used.</exception>
    public static Node Build(LoadedConfiguration configuration, TimeProvider time, NodeStart? start = null) =>
        new(configuration.Options, time, configuration, start ?? new NodeStart());

    /// <summary>Composes a node whose options never change; they must be valid.</summary>
    /// <exception cref="StartException">A file that the options name cannot be used.</exception>
    public static Node Build(LoadBalancerOptions options, TimeProvider time) => new(options, time, null, new NodeStart());

    /// <summary>Lets the program start anew and take over, as SIGUSR2 asks. Returns at once; the log says what becomes of it.</summary>
    public void BeginUpgrade()
    {
        if (_upgrader is { } upgrader)
        {
            BackgroundTask.Run(Task.Run(() => upgrader.RunAsync(null)), _logger, "upgrading");
        }
    }

    /// <inheritdoc/>
    /// <exception cref="StartException">A listener cannot listen.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        var listeners = _started.Listeners.Select(listener => $"{listener.Key} ({listener.Value.Address})");
        var pools = _started.Pools.Select(pool =>
            $"{pool.Key} ({(pool.Value.Backends.Count == 1 ? "1 backend" : $"{pool.Value.Backends.Count} backends")})");
        LogStarting(
            BuildInformation.Version, _file ?? "none", string.Join(", ", listeners), string.Join(", ", pools),
            _started.Management?.Address.ToString() ?? "none");
        try
        {
            await _host.StartAsync(cancellationToken);
        }
        catch
        {
            await (_cluster?.LeaveAsync(isReplaced: false) ?? Task.CompletedTask); // The next start need not wait for its name.
            throw;
        }
    }

    /// <summary>
    /// Lets clients go on at another process, before the stop: at the one that has replaced this one, or at the next one, for which new
    /// connections wait in the sockets of the service manager. Where there is neither, it returns at once.
    /// </summary>
    /// <param name="now">Cancelled when the stop is to wait no longer.</param>
    public async Task LeaveAsync(CancellationToken now)
    {
        var isReplaced = Replaced.IsCompleted; // It has left then.
        if (!isReplaced)
        {
            if (!_handover.AreSocketsKept)
            {
                return;
            }
            await _handover.LeaveAsync();
            LogLeft();
        }
        var cut = isReplaced ? Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping : now;
        await Task.Delay(ListenerService.LastRequests, _time, cut).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken = default) => _host.StopAsync(cancellationToken);

    /// <inheritdoc/>
    public void Dispose()
    {
        while (_parts.TryPop(out var part))
        {
            part.Dispose();
        }
    }

    private IReadOnlyList<CertificateStatus> Certificates => [.. _listeners.Certificates, .. Management?.Certificates ?? []];

    // Changes of its value hold at once.
    private HostOptions HostOptions => Services.GetRequiredService<IOptions<HostOptions>>().Value;

    private async Task CatchUpAsync(CancellationToken cancellationToken)
    {
        await (Reloader?.CatchUpAsync() ?? Task.CompletedTask);
        await (_sharing?.TakenUp ?? Task.CompletedTask).WaitAsync(cancellationToken);
    }

    private void IncludeMetrics(LoadBalancerOptions options)
    {
        bool Has(ListenerProtocol protocol) => options.Listeners.Values.Any(listener => listener.Protocol == protocol);
        _metrics.Include(Has(ListenerProtocol.Broker), Has(ListenerProtocol.Tasks), _started.Cluster is not null);
    }

    private NodeCounts Counts() => new(
        Reloader?.Applied ?? 0, Reloader?.Refused ?? 0, _accessLogs.Dropped,
        [.. Listeners.Select(listener => (listener.Name, listener.Refused))])
    {
        Rejected =
        [
            .. from listener in _listeners.Rejections
               from entry in listener.All
               select (listener.Listener, entry.Route, entry.Reason, entry.Count),
        ],
        Routes = _listeners.Routes,
        Mirrored = _listeners.Mirrored.All,
        Lookups =
        [
            .. from entry in Pools.Lookups
               from lookups in entry.Counts.All
               select (entry.Pool, (Enum)lookups.Result, lookups.Count),
        ],
        Heartbeats = _heartbeats.Statistics,
        Brokers = _listeners.Brokers,
        IsConnectedToCluster = _cluster?.IsConnected,
        Certificates = Certificates,
        WrongTokens = _management.WrongTokens,
        Tasks = [.. Listeners.OfType<TasksListener>().Select(listener => listener.Counts)],
    };

    // The host handles signals and logging, and starts and stops the services.
    private IHost NewHost(LoadBalancerOptions options, TimeProvider time)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddSingleton(time); // for the time in log lines
        ConsoleLogging.AddTo(builder.Services);
        // Values instead of what computes them: each kind of options has a dozen generic types, which a program that was compiled ahead of
        // time builds one by one when it starts.
        builder.Services.AddSingleton(Options.Create(new HostOptions { ShutdownTimeout = options.ShutdownTimeout }));
        builder.Services.AddSingleton(Options.Create(new ConsoleLifetimeOptions()));
        builder.Services.RemoveAll<IStartupValidator>(); // There is nothing to validate.
        builder.Services.AddSingleton<IEnumerable<IHostedService>>(_services); // read when the host starts, when the list is complete
        return builder.Build();
    }

    private T Own<T>(T part) where T : IDisposable
    {
        _parts.Push(part);
        return part;
    }

    [LoggerMessage(191, LogLevel.Information,
        "stopping: new connections wait in the sockets of the service manager; for one second each answer is the last of its connection")]
    private partial void LogLeft();

    [LoggerMessage(26, LogLevel.Information,
        "LoadBalancer {Version}: configuration {File}; listeners {Listeners}; pools {Pools}; management {Management}")]
    private partial void LogStarting(string version, string file, string listeners, string pools, string management);
}
