using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Listeners;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Transport;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// A listener that speaks ZeroMQ: a broker between clients and workers, with an alternative that takes over when the main is down.
/// </summary>
internal sealed class BrokerListener : IListener
{
    private readonly BackendPool _pool;
    private readonly BrokerListenerOptions _options;
    private readonly TimeProvider _time;
    private readonly RoleKeeper _role;
    private readonly MainLease? _lease;
    private readonly Rejections _rejections;
    private readonly BrokerLog _log;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopped = new(); // needs no Dispose: it has no timer
    private volatile int _queueLimit;

    /// <summary>Creates it; it listens from <see cref="StartAsync"/> on.</summary>
    public BrokerListener(
        string name, BrokerListenerOptions options, BackendPool pool, ErrorStatistics errors, ListenSockets sockets, TimeProvider time,
        ILoggerFactory loggers, MainLease? lease = null)
    {
        _lease = lease;
        (Name, _options, _pool, _time, _queueLimit) = (name, options, pool, time, options.QueueLimit);
        var log = new BrokerLog(name, time, loggers.CreateLogger<BrokerLog>());
        (_log, _logger, _rejections) = (log, log.Logger, new Rejections(log));
        _role = new RoleKeeper(options, NewBroker, log, time, lease);

        ServingBroker NewBroker() => new(
            name, options with { QueueLimit = _queueLimit }, pool, log, _rejections, errors, sockets, time, lease);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>The address to which clients connect; words instead if they cannot, because it is the alternative.</summary>
    public string Address => _role is { State: BrokerState.Serving, Broker: { } broker }
        ? new EndpointAddress(_options.Address.Scheme, _options.Address.Host, broker.Ports.Clients).ToString()
        : _lease is not null ? "no port yet, as another node of the cluster is the main"
        : $"no port yet, as the alternative of {_role.Peer}";

    /// <inheritdoc/>
    public int Connections => _role.Broker is { Requests: var requests } ? requests.ClientCount + requests.WorkerCount : 0;

    /// <inheritdoc/>
    public long Refused =>
        _rejections.All.Where(rejected => rejected.Reason == nameof(ZmtpFault.TooManyConnections)).Sum(rejected => rejected.Count);

    /// <summary>Its present state and counts.</summary>
    public BrokerStatus Status
    {
        get
        {
            var (state, broker) = (_role.State, _role.Broker);
            TimeSpan? Age(long? since) => since is { } at ? _time.GetElapsedTime(at) : null;
            var alternative = broker?.Alternatives.Current ?? default;
            var isServing = state == BrokerState.Serving;
            return new BrokerStatus(
                Name, _pool.Name, isServing ? "Main" : state == BrokerState.Asking ? "Asking" : "Alternative",
                (alternative.Address ?? _role.Peer ?? _lease?.Alternative())?.ToString(),
                Age(isServing ? broker?.Health.PublishedAt : _role.HeardAt),
                alternative.Address is null ? null : Age(alternative.ReceivedAt),
                broker?.Requests.ClientCount ?? 0, broker?.Requests.WorkerCount ?? 0, _role.TakeOvers,
                isServing && Age(_role.HeardAt) < _options.PeerTimeout, _rejections.All);
        }
    }

    /// <summary>The ports at which it really listens; null while it does not.</summary>
    internal BrokerPorts? Ports => _role.Broker?.Ports;

    /// <summary>How it begins in place of one of another process; null: as it is configured.</summary>
    public BrokerStart? Begin { get; init; }

    /// <summary>Completes when it serves or watches.</summary>
    public Task Started { get; private set; } = Task.CompletedTask;

    /// <summary>Its present state.</summary>
    public BrokerState State => _role.State;

    /// <summary>The broker that serves; null while none does.</summary>
    internal ServingBroker? Serving => _role.Broker;

    /// <inheritdoc/>
    public void Apply(ListenerOptions options)
    {
        _queueLimit = ((BrokerListenerOptions)options).QueueLimit;
        if (_role.Broker is { } broker)
        {
            broker.Requests.QueueLimit = _queueLimit;
        }
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _pool.Backlog = () => Serving?.Requests.WaitingCount ?? 0; // Not before: another listener may have had the pool until now.
        if (Begin is not { } begin)
        {
            return _role.StartAsync();
        }
        Started = StartInTurnAsync(begin);
        BackgroundTask.Run(Started, _logger, $"listener '{Name}': starting in place of another process");
        return Task.CompletedTask;
    }

    /// <summary>Another process has taken this one's place, and with it the lease.</summary>
    public void HandOn() => _lease?.HandOn();

    /// <inheritdoc/>
    public void Leave() => _role.Leave();

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        _stopped.Cancel();
        return _role.StopAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stopped.Cancel();
        BackgroundTask.Run(_role.DisposeAsync().AsTask(), _logger, $"listener '{Name}': closing the broker");
    }

    private async Task StartInTurnAsync(BrokerStart begin)
    {
        await begin.Turn.Value.WaitAsync(_stopped.Token);
        try
        {
            await _role.StartAsync(begin.State);
        }
        catch (StartException e)
        {
            _log.CannotServe(e);
        }
    }
}
