using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Listeners;
using LoadBalancer.Net;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Tcp;

/// <summary>
/// Relays its connections to a pool's backends, for any protocol over TCP; with certificates it terminates TLS.
/// </summary>
internal sealed partial class TcpRelayListener : IListener
{
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly ILogger _logger;
    private readonly string _serving;
    private readonly Acceptor _acceptor;
    private readonly LogGate _headerGate;
    private readonly ITimer _sweep;
    private readonly Lock _gate = new();
    private readonly HashSet<RelayedConnection> _connections = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile RelayTarget _target;
    private bool _isStopping;
    private long _malformedHeaders;
    private int _isSweeping;

    /// <summary>Makes the listener; it listens from <see cref="StartAsync"/> on.</summary>
    /// <param name="name">Its name in the configuration.</param>
    /// <param name="options">Its options; they must be valid.</param>
    /// <param name="target">Where its connections go.</param>
    /// <param name="sockets">Binds its address.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loggers">Make its loggers.</param>
    /// <exception cref="StartException">A certificate cannot be read.</exception>
    public TcpRelayListener(
        string name, TcpListenerOptions options, RelayTarget target, ListenSockets sockets, TimeProvider time, ILoggerFactory loggers)
    {
        (Name, _target, Time, _logger) = (name, target, time, loggers.CreateLogger<TcpRelayListener>());
        _serving = $"listener '{name}': relaying a connection";
        Tls = !((ITlsOptions)options).HasCertificates ? null
            : new CertificateStore(name, options, [], time, loggers.CreateLogger<CertificateStore>());
        _acceptor = new Acceptor(name, options.Address, options.MaxConnections, Serve, sockets, time, loggers, options.UnixMode);
        _headerGate = new LogGate(time);
        _sweep = time.CreateTimer(static listener => ((TcpRelayListener)listener!).Sweep(), this, SweepInterval, SweepInterval);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public string Address => _acceptor.Address.ToString();

    /// <inheritdoc/>
    public long Refused => _acceptor.Refused;

    /// <summary>The target of new connections.</summary>
    public RelayTarget Target
    {
        get => _target;
        set => _target = value;
    }

    /// <inheritdoc/>
    public int Connections
    {
        get
        {
            lock (_gate)
            {
                return _connections.Count;
            }
        }
    }

    /// <summary>The certificates for TLS; null without TLS.</summary>
    internal CertificateStore? Tls { get; }

    /// <summary>The clock.</summary>
    internal TimeProvider Time { get; }

    /// <summary>The logger for its connections.</summary>
    internal ILogger Logger => _logger;

    /// <inheritdoc/>
    public IReadOnlyList<CertificateStatus> Certificates => Tls?.Status ?? [];

    /// <inheritdoc/>
    public void Apply(ListenerOptions options)
    {
        Tls?.Apply((TcpListenerOptions)options);
        _acceptor.MaxConnections = options.MaxConnections;
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _acceptor.Start();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Leave() => _acceptor.Dispose();

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _acceptor.Dispose();
        lock (_gate)
        {
            _isStopping = true;
            if (_connections.Count == 0)
            {
                _ended.TrySetResult();
            }
        }
        await _ended.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var connection in Snapshot())
        {
            connection.Cut(ConnectionEnd.Shutdown);
        }
        await _ended.Task;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _acceptor.Dispose();
        _sweep.Dispose();
        Tls?.Dispose();
    }

    /// <summary>A connection has ended.</summary>
    internal void Forget(RelayedConnection connection)
    {
        lock (_gate)
        {
            _connections.Remove(connection);
            if (_isStopping && _connections.Count == 0)
            {
                _ended.TrySetResult();
            }
        }
    }

    /// <summary>Logs that a trusted proxy did not begin with a PROXY header.</summary>
    internal void NoteMalformedHeader(EndPoint peer)
    {
        Interlocked.Increment(ref _malformedHeaders);
        if (_headerGate.TryPass())
        {
            LogMalformedHeaders(Name, Interlocked.Exchange(ref _malformedHeaders, 0), UnixPeers.Text(peer.IpAddress()));
        }
    }

    private void Serve(AcceptedConnection accepted)
    {
        var connection = new RelayedConnection(this, _target, accepted);
        lock (_gate)
        {
            if (_isStopping)
            {
                accepted.Connection.Dispose(); // Accepted while the listener stops, which does not wait for it.
                return;
            }
            _connections.Add(connection);
        }
        BackgroundTask.Run(connection.ServeAsync(), _logger, _serving);
    }

    private RelayedConnection[] Snapshot()
    {
        lock (_gate)
        {
            return [.. _connections];
        }
    }

    private void Sweep()
    {
        if (Interlocked.Exchange(ref _isSweeping, 1) != 0)
        {
            return; // The last sweep is still running.
        }
        var now = Time.GetTimestamp();
        foreach (var connection in Snapshot())
        {
            connection.Inspect(now);
        }
        Volatile.Write(ref _isSweeping, 0);
    }

    [LoggerMessage(82, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' broke off a connection: {Reason}")]
    internal partial void LogBackendReset(string pool, string backend, string reason);

    [LoggerMessage(83, LogLevel.Warning,
        "listener '{Listener}': {Count} connections of trusted proxies were closed because they did not begin with a PROXY header; "
        + "the last came from {Peer}")]
    private partial void LogMalformedHeaders(string listener, long count, string peer);
}
