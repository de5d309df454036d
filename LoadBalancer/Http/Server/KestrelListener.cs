using System.Diagnostics;
using System.Net;
using System.Net.Quic;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;
using LoadBalancer.Listeners;
using LoadBalancer.Net;
using LoadBalancer.Tls;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Server;

/// <summary>
/// One HTTP listener: a Kestrel server of its own, because limits are set per server, which runs a pipeline for each request. There is
/// no web host around it: the host's scopes, logging and activities cost more per request than forwarding it. An https:// listener ends
/// TLS, and negotiates HTTP/1.1, HTTP/2 or HTTP/3.
/// </summary>
internal sealed class KestrelListener : IListener
{
    // RFC 7301 section 6; the framework has no name for it. Clients that offer nothing else exist: curl -0.
    private static readonly SslApplicationProtocol Http10 = new("http/1.0");

    private volatile HttpListenerOptions _options;
    private readonly PipelineApplication _application;
    private readonly HeadCheck _headCheck;
    private volatile AccessLogLayout _layout;
    private readonly Http2RefusalLog? _http2Refusals; // null where only HTTP/1.1 is spoken
    private readonly ProxyHeaderMiddleware? _proxyHeader;
    private readonly PrefaceMiddleware? _preface;
    private readonly TlsMiddleware? _tls;
    private readonly ILogger _logger;
    private readonly CertificateStore? _certificates;
    private readonly ConnectionLimit _limit;
    private readonly ListenSockets _sockets;
    private readonly KestrelTransport _transport;
    private readonly ServiceProvider _services;
    private readonly IServer _server;

    /// <summary>Makes the listener; it listens from <see cref="StartAsync"/> on.</summary>
    /// <param name="name">Its name in the configuration.</param>
    /// <param name="options">Its options; they must be valid.</param>
    /// <param name="pipeline">What runs for each request.</param>
    /// <param name="accessLog">Gets a line for each request, also for what Kestrel refuses because it is none; null for no log.</param>
    /// <param name="errors">Counts what Kestrel refuses; null for no count.</param>
    /// <param name="sockets">Binds its address.</param>
    /// <param name="time">The clock.</param>
    /// <param name="loggers">Make its loggers.</param>
    /// <exception cref="StartException">A certificate cannot be read.</exception>
    public KestrelListener(
        string name, HttpListenerOptions options, RequestDelegate pipeline, AccessLog? accessLog, ErrorStatistics? errors,
        ListenSockets sockets, TimeProvider time, ILoggerFactory loggers)
    {
        (Name, _options, _sockets, _logger) = (name, options, sockets, loggers.CreateLogger<KestrelListener>());
        _layout = AccessLogLayout.Of(options);
        Func<AccessLogLayout> layout = () => _layout;
        _headCheck = new HeadCheck(name, options, SpeaksHttp2, errors);
        _application = new PipelineApplication(pipeline, accessLog, layout, time, _headCheck);
        _limit = new ConnectionLimit(name, options.MaxConnections, time, loggers.CreateLogger<ConnectionLimit>());
        _proxyHeader = options.AcceptProxyProtocol ? new ProxyHeaderMiddleware(name, errors, time, _logger) : null;
        _preface = options.HttpVersion == HttpVersions.Both ? new PrefaceMiddleware(KeepAliveTimeout, time) : null;
        if (options.Address.Scheme == "https")
        {
            _certificates = new CertificateStore(
                name, options, [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11, Http10], time,
                loggers.CreateLogger<CertificateStore>());
            var refusal = new PlainRequestRefusal(name, accessLog, layout, errors, time);
            _tls = new TlsMiddleware(_certificates, refusal, KeepAliveTimeout, time);
        }
        // Kestrel's services can only be registered through a web host's builder; the host itself is never built.
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(Configure);
        if (_certificates is not null && OffersHttp3)
        {
            builder.WebHost.UseQuic();
        }
        var badRequests = new BadRequestLog(name, accessLog, layout, errors, time);
        _http2Refusals = SpeaksHttp2 ? new Http2RefusalLog(loggers, badRequests.OnReset, time) : null;
        builder.Services.AddSingleton(_http2Refusals ?? loggers);
        builder.Services.AddSingleton<DiagnosticSource>(badRequests);
        _transport = CreateTransport(time, loggers);
        builder.Services.RemoveAll<IConnectionListenerFactory>(); // Kestrel's would not be used.
        builder.Services.AddSingleton<IConnectionListenerFactory>(_transport);
        _services = builder.Services.BuildServiceProvider();
        _server = _services.GetRequiredService<IServer>();
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public string Address => _options.Address.IsUnix ? $"{_options.Address}"
        : _server.Features.Get<IServerAddressesFeature>()!.Addresses.First();

    /// <summary>How long a client may take nothing of what is to be sent to it, before its connection is reset.</summary>
    public TimeSpan SendTimeout { get; set; } = TimeSpan.FromSeconds(100);

    /// <summary>The pages that are sent with errors; null where there are none.</summary>
    internal ErrorPages? ErrorPages
    {
        get => _application.ErrorPages;
        set => _application.ErrorPages = value;
    }

    /// <summary>Answers some requests before routes and guards, and returns null for the others; null where nothing does.</summary>
    internal Func<HttpContext, Task?>? Before
    {
        get => _application.Before;
        set => _application.Before = value;
    }

    /// <inheritdoc/>
    public int Connections => _limit.Open;

    /// <inheritdoc/>
    public long Refused => _limit.Refused;

    /// <inheritdoc/>
    public IReadOnlyList<CertificateStatus> Certificates => _certificates?.Status ?? [];

    /// <inheritdoc/>
    public void Apply(ListenerOptions options)
    {
        var http = (HttpListenerOptions)options;
        _options = http;
        _certificates?.Apply(http);
        _limit.Most = http.MaxConnections;
        var limits = _services.GetRequiredService<IOptions<KestrelServerOptions>>().Value.Limits;
        limits.MaxRequestBodySize = http.MaxRequestBodySize;
        limits.RequestHeadersTimeout = http.RequestHeadersTimeout; // for connections that come from now on
        limits.KeepAliveTimeout = http.KeepAliveTimeout; // the same
        HeadLimits.Apply(limits, http.HeaderLimits, SpeaksHttp2);
        _headCheck.Apply(http);
        _layout = AccessLogLayout.Of(http);
    }

    /// <inheritdoc/>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _server.StartAsync(_application, cancellationToken);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw new StartException($"listener '{Name}': cannot listen on {_options.Address}: {ListenAddress.WhyNot(e)}", e);
        }
    }

    /// <inheritdoc/>
    public void Leave()
    {
        _transport.StopAccepting();
        _application.IsLeaving = true;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => _server.StopAsync(cancellationToken);

    /// <inheritdoc/>
    public void Dispose()
    {
        _services.Dispose();
        _certificates?.Dispose();
    }

    // On both transports a request stays on the thread that read it. Therefore nothing may block there.
    private KestrelTransport CreateTransport(TimeProvider time, ILoggerFactory loggers)
    {
        var options = new KestrelTransportOptions
        {
            Listener = Name,
            Limit = _limit,
            SendTimeout = () => SendTimeout,
            Prepare = ConnectionSteps.Of(
                _proxyHeader is null ? null : _proxyHeader.PrepareAsync,
                _preface is null ? null : _preface.PrepareAsync,
                _tls is null ? null : _tls.PrepareAsync),
            ParkedTimeout = _certificates is null && _options.HttpVersion.Has11 ? KeepAliveTimeout : null,
        };
        return new KestrelTransport(TransportChoice.IsEpoll, OpenSocket, options, time, loggers);
    }

    // Without a limit the kernel buffers megabytes for a slow client, and reports no progress until much of it was sent, which would
    // look like an idle client. With it little waits unsent, and the speed of the connection is not limited.
    private ListenSocket OpenSocket(EndPoint address)
    {
        const int NotSentLowWaterMark = 25; // TCP_NOTSENT_LOWAT of Linux, tcp(7); accepted sockets inherit it
        var socket = _sockets.Open(SocketType.Stream, address, _options.UnixMode);
        if (OperatingSystem.IsLinux() && address is IPEndPoint)
        {
            socket.Socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, NotSentLowWaterMark, BitConverter.GetBytes(128 * 1024));
        }
        return socket;
    }

    private TimeSpan KeepAliveTimeout() => _options.KeepAliveTimeout;

    private bool SpeaksHttp2 => _options.Address.Scheme == "https" || _options.HttpVersion.Has2;

    // HTTP/3 needs the library msquic. Without it HTTP/3 is not offered. It has no PROXY header.
    private bool OffersHttp3 => !_options.AcceptProxyProtocol
        && (OperatingSystem.IsLinux() || OperatingSystem.IsWindows() || OperatingSystem.IsMacOS()) && QuicListener.IsSupported;

    private void Configure(KestrelServerOptions kestrel)
    {
        kestrel.AddServerHeader = false;
        kestrel.AllowHostHeaderOverride = true; // RFC 9112 section 3.2.2: the authority of an absolute target wins.
        // Every byte is passed on unchanged, except in two fields that Kestrel interprets itself.
        kestrel.RequestHeaderEncodingSelector = name =>
            name.Equals(HeaderNames.Connection, StringComparison.OrdinalIgnoreCase) ? ConnectionFieldEncoding.Instance
            : name.Equals(HeaderNames.ContentLength, StringComparison.OrdinalIgnoreCase) ? ContentLengthEncoding.Instance
            : Encoding.Latin1;
        kestrel.ResponseHeaderEncodingSelector = _ => Encoding.Latin1;
        kestrel.Limits.MaxRequestBodySize = _options.MaxRequestBodySize;
        kestrel.Limits.RequestHeadersTimeout = _options.RequestHeadersTimeout;
        kestrel.Limits.KeepAliveTimeout = _options.KeepAliveTimeout;
        kestrel.Limits.MaxConcurrentUpgradedConnections = null; // a tunnel is a connection like any other
        kestrel.Limits.MinRequestBodyDataRate = null; // Slow is allowed; Timeouts:Idle ends a request in which nothing moves.
        kestrel.Limits.MinResponseDataRate = null;
        kestrel.Limits.MaxRequestBufferSize = null; // The transport does not read ahead.
        HeadLimits.Apply(kestrel.Limits, _options.HeaderLimits, SpeaksHttp2);
        kestrel.AllowAlternateSchemes = SpeaksHttp2; // HeadCheck decides about them.
        switch (_options.Address.Host)
        {
            case "*":
                kestrel.ListenAnyIP(_options.Address.Port, Configure);
                break;
            case "localhost":
                kestrel.ListenLocalhost(_options.Address.Port, Configure);
                break;
            case var _ when _options.Address.IsUnix:
                kestrel.Listen(_options.Address.UnixEndPoint, Configure);
                break;
            default:
                kestrel.Listen(IPAddress.Parse(_options.Address.Host), _options.Address.Port, Configure);
                break;
        }
    }

    private void Configure(ListenOptions listen)
    {
        // HTTP/3 alone: of TCP connections the transport knows more than Kestrel.
        ((IMultiplexedConnectionBuilder)listen).Use(next => connection => _limit.HoldAsync(() => next(connection)));
        if (_proxyHeader is not null && !TransportChoice.IsEpoll)
        {
            listen.Use(next => connection => ConnectionSteps.RunAsync(_proxyHeader.PrepareAsync, connection, next));
        }
        if (_certificates is null)
        {
            if (_preface is not null)
            {
                // The endpoint has all protocols unless told otherwise; told so, Kestrel would warn that one has no TLS.
                if (!TransportChoice.IsEpoll)
                {
                    listen.Use(next => connection => ConnectionSteps.RunAsync(_preface.PrepareAsync, connection, next));
                }
            }
            else
            {
                listen.Protocols = _options.HttpVersion.Has2 ? HttpProtocols.Http2 : HttpProtocols.Http1;
            }
            UseOwnTransport(listen);
            return;
        }
        listen.Protocols = OffersHttp3 ? HttpProtocols.Http1AndHttp2AndHttp3 : HttpProtocols.Http1AndHttp2;
        listen.Use(next => connection => _tls!.OnConnectionAsync(connection, next));
        // For HTTP/3, and so that Kestrel knows that this is https.
        listen.UseHttps(new TlsHandshakeCallbackOptions
        {
            OnConnection = handshake => new(_certificates.Select(handshake.ClientHelloInfo.ServerName)),
        });
        UseOwnTransport(listen);
    }

    // Of HTTP/1.1, Kestrel's refusals are completed. Of HTTP/2, they are logged, and what is sent is sent in batches.
    private void UseOwnTransport(ListenOptions listen)
    {
        if (_http2Refusals is null)
        {
            listen.Use(next => connection => BadRequestTransport.OnConnectionAsync(connection, next));
            return;
        }
        listen.Use(next =>
        {
            ConnectionDelegate http2 = connection => _http2Refusals.OnConnectionAsync(connection, next);
            return connection => Http2Settings.IsHttp2(connection, listen.Protocols)
                ? SendBatch.OnConnectionAsync(connection, http2, _logger)
                : BadRequestTransport.OnConnectionAsync(connection, next);
        });
    }
}
