using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>A listener that forwards HTTP requests.</summary>
public sealed record HttpListenerOptions() : ListenerOptions(ListenerProtocol.Http), ITlsOptions
{
    /// <summary>The certificates of an https listener: <see cref="ITlsOptions.Certificates"/>.</summary>
    public IReadOnlyList<CertificateOptions> Certificates { get; init; } = [];

    /// <summary>
    /// Certificates of an https listener that are got by themselves, beside <see cref="Certificates"/>. Plain Http listeners answer the
    /// authority's questions. Null (the default): none.
    /// </summary>
    public AcmeOptions? Acme { get; init; }

    /// <inheritdoc/>
    public TlsVersion MinProtocol { get; init; } = TlsVersion.Tls12;

    /// <inheritdoc/>
    public IReadOnlyList<string> Ciphers { get; init; } = [];

    /// <inheritdoc/>
    public ClientCertificateOptions? ClientCertificates { get; init; }

    /// <summary>
    /// The proxies whose <c>X-Forwarded-*</c> and <c>Forwarded</c> fields are trusted, and the <c>:scheme</c> of whose HTTP/2 requests:
    /// addresses or networks such as <c>10.0.0.0/8</c>. Default: none.
    /// </summary>
    public IReadOnlyList<IPNetwork> TrustedProxies { get; init; } = [];

    /// <summary>
    /// Whether each connection begins with a PROXY header (version 1 or 2), before TLS, which says who the client is. It holds for every
    /// peer, so only the proxy may reach the listener; <see cref="TrustedProxies"/> are then compared with the address in the header.
    /// Default false.
    /// </summary>
    public bool AcceptProxyProtocol { get; init; }

    /// <summary>
    /// <c>2</c>: a plain listener takes HTTP/2 with prior knowledge (h2c) and nothing else, as gRPC clients without TLS speak it.
    /// <c>1.1+2</c>: it takes both. Default 1.1. An https listener negotiates.
    /// </summary>
    public HttpVersions HttpVersion { get; init; } = System.Net.HttpVersion.Version11;

    /// <summary>
    /// Whether a plain listener answers every request with a redirect (308) to https, at the port of the first https listener.
    /// Default false.
    /// </summary>
    public bool RedirectToHttps { get; init; }

    /// <summary>
    /// The <c>Strict-Transport-Security</c> field (RFC 6797) that an https listener adds where the backend sent none:
    /// <c>max-age=31536000</c>. Default null: none.
    /// </summary>
    public string? Hsts { get; init; }

    /// <summary>
    /// What becomes of requests that are not simply for <see cref="ListenerOptions.Pool"/>; the first that matches wins. Default: none.
    /// </summary>
    public IReadOnlyList<HttpRouteOptions> Routes { get; init; } = [];

    /// <summary>Clients, as addresses or networks, that may come; others are answered 403. Default: all.</summary>
    public IReadOnlyList<IPNetwork> Allow { get; init; } = [];

    /// <summary>Clients that may not, whatever <see cref="Allow"/> says. Default: none.</summary>
    public IReadOnlyList<IPNetwork> Deny { get; init; } = [];

    /// <summary>One of the <see cref="LoadBalancerOptions.RateLimits"/>. Beyond it the answer is 429. Null (the default): none.</summary>
    public string? RateLimit { get; init; }

    /// <summary>
    /// One of the <see cref="LoadBalancerOptions.Authentication"/>; who does not prove who he is is answered 401. Null (the default): none.
    /// </summary>
    public string? Authentication { get; init; }

    /// <summary>Which responses are compressed, with Brotli or gzip, for clients that accept it. Null (the default): none.</summary>
    public CompressionOptions? Compression { get; init; }

    /// <summary>The largest request body, in bytes; a larger one is answered 413. Null (the default) is no limit.</summary>
    public long? MaxRequestBodySize { get; init; }

    /// <summary>How large the head of a request may be; a larger one is answered 431.</summary>
    public HeaderLimitOptions HeaderLimits { get; init; } = new();

    /// <summary>How long a client may take to send the head of a request; then it is answered 408. Default 30 s.</summary>
    public TimeSpan RequestHeadersTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a connection may be idle between two requests. Default 2 min 10 s.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(130);

    /// <summary>
    /// Where a line for each request is written: <c>Off</c> (the default), <c>Console</c>, or a file, which is appended to.
    /// </summary>
    public string AccessLog { get; init; } = "Off";

    /// <summary>
    /// How such a line is written: <c>Common</c> (the default: the Common Log Format, then seconds and backend), <c>Combined</c> (as
    /// nginx and Apache write it), <c>Json</c> (an object with all fields), or a list of fields of that object.
    /// </summary>
    public IReadOnlyList<string> AccessLogFormat { get; init; } = ["Common"];

    /// <summary>Whether Combined and Json have the query of the target. Default true; Common never has it.</summary>
    public bool AccessLogQuery { get; init; } = true;

    /// <summary>
    /// The field in which each request gets a name of its own, for example <c>X-Request-Id</c>; it is passed on, returned and logged. The
    /// name that a trusted proxy gave is kept. Null (the default): none.
    /// </summary>
    public string? RequestId { get; init; }

    /// <summary>
    /// The name under which this proxy adds itself to <c>Via</c> of requests (RFC 9110 section 7.6.3), for example <c>edge</c>. A request
    /// that has come ten times by that name is in a loop, and is answered 508. Null (the default): what clients send passes unchanged.
    /// </summary>
    public string? Via { get; init; }

    /// <summary>The largest file of <see cref="ErrorPages"/>, in bytes.</summary>
    internal const int LargestErrorPage = 1024 * 1024;

    /// <summary>
    /// HTML files for the load balancer's own error responses, by status (<c>503</c>) or class (<c>4xx</c>, <c>5xx</c>). Clients that do
    /// not accept HTML get one line of text. Default: none.
    /// </summary>
    [BesideConfiguration]
    public IReadOnlyDictionary<string, string?> ErrorPages { get; init; } = new Dictionary<string, string?>();

    /// <summary>Whether <c>GET /health</c> and <c>GET /status</c> are answered here instead of being forwarded. Default false.</summary>
    public bool StatusEndpoints { get; init; }

    /// <summary>
    /// Who may connect to a Unix socket: the mode of its file in octal digits, as with chmod. Default 0660: the user and the group of this
    /// process. Not on Windows.
    /// </summary>
    public string? SocketMode { get; init; }

    /// <inheritdoc/>
    internal override UnixFileMode? UnixMode => UnixSocketMode.Parse(SocketMode);

    /// <inheritdoc/>
    internal override IEnumerable<string> PoolNames => [Pool, .. Routes.SelectMany(route => route.PoolNames)];

    private protected override IReadOnlyList<string> Reloadable =>
        [nameof(Pool), nameof(Routes), nameof(TrustedProxies), nameof(Allow), nameof(Deny), nameof(RateLimit), nameof(Authentication),
            nameof(AccessLogFormat), nameof(AccessLogQuery), nameof(RequestId), nameof(Via), nameof(ErrorPages),
            nameof(MaxRequestBodySize), nameof(HeaderLimits), nameof(RequestHeadersTimeout), nameof(KeepAliveTimeout),
            nameof(MaxConnections), nameof(Compression), nameof(Acme), nameof(MinProtocol),
            nameof(Ciphers), nameof(ClientCertificates)];
}
