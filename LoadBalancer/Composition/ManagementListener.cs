using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Server;
using LoadBalancer.Management;
using LoadBalancer.Transport;

namespace LoadBalancer.Composition;

/// <summary>The listener for operators: a server like those for clients, with other endpoints and shorter time-outs.</summary>
internal sealed partial class ManagementListener : IHostedService, IDisposable
{
    private const string Name = "management";
    private const int LargestBody = 64 * 1024;

    /// <summary>Who may connect to a Unix socket, unless told otherwise: the user of this process, and root.</summary>
    public const string DefaultMode = "0600";

    // Nothing but this listener is left at a stop, so there is nothing that a slow client of it could be waited for.
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan HeadTimeout = TimeSpan.FromSeconds(10);

    private readonly KestrelListener _listener;
    private readonly ManagementTokens _tokens;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    /// <summary>Makes the listener; it listens from <see cref="StartAsync"/> on.</summary>
    /// <exception cref="StartException">A certificate cannot be read.</exception>
    /// <param name="options">Its options; they must be valid.</param>
    /// <param name="endpoints">Answers its requests.</param>
    /// <param name="tokens">The tokens that requests must carry; disposed of with the listener.</param>
    /// <param name="sockets">Binds its address.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loggers">Make its loggers.</param>
    public ManagementListener(
        ManagementOptions options, RequestDelegate endpoints, ManagementTokens tokens, ListenSockets sockets, TimeProvider time,
        ILoggerFactory loggers)
    {
        var listener = new HttpListenerOptions
        {
            Address = options.Address,
            SocketMode = options.Address.IsUnix ? options.SocketMode ?? DefaultMode : null,
            MaxRequestBodySize = LargestBody,
            RequestHeadersTimeout = HeadTimeout,
            Certificates = options.Certificates,
            MinProtocol = options.MinProtocol,
            Ciphers = options.Ciphers,
        };
        (_tokens, _time) = (tokens, time);
        _listener = new KestrelListener(Name, listener, endpoints, null, null, sockets, time, loggers);
        _logger = loggers.CreateLogger<ManagementListener>();
    }

    /// <summary>Where it really listens.</summary>
    public string Address => _listener.Address;

    /// <summary>Connections that are open.</summary>
    public int Connections => _listener.Connections;

    /// <summary>The certificates that it uses now; none without TLS.</summary>
    public IReadOnlyList<CertificateStatus> Certificates => _listener.Certificates;

    /// <inheritdoc/>
    /// <exception cref="StartException">It cannot listen.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await _listener.StartAsync(cancellationToken);
        LogListening(Address);
    }

    /// <summary>Accepts nothing more; what was accepted goes on.</summary>
    public void Leave() => _listener.Leave();

    /// <summary>Stops accepting, and lets requests in flight finish for a moment.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        using var grace = new CancellationTokenSource(StopGrace, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(grace.Token, cancellationToken);
        await _listener.StopAsync(either.Token);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _listener.Dispose();
        _tokens.Dispose();
    }

    [LoggerMessage(23, LogLevel.Information, "management: the dashboard is at {Address}")]
    private partial void LogListening(string address);
}
