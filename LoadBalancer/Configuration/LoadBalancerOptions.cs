using System.Net;
using System.Net.Security;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration;

/// <summary>The whole configuration: section <c>LoadBalancer</c>.</summary>
public sealed record LoadBalancerOptions
{
    /// <summary>How long work in flight may go on after the order to stop. Default 30 s.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where clients connect, by name. At least one.</summary>
    public IReadOnlyDictionary<string, ListenerOptions> Listeners { get; init; } = new Dictionary<string, ListenerOptions>();

    /// <summary>The groups of backends, by name.</summary>
    public IReadOnlyDictionary<string, PoolOptions> Pools { get; init; } = new Dictionary<string, PoolOptions>();

    /// <summary>Where the dashboard, the management API and the metrics are; absent: nowhere.</summary>
    public ManagementOptions? Management { get; init; }
}

/// <summary>The management listener.</summary>
public sealed record ManagementOptions
{
    /// <summary>Where it listens: <c>http://127.0.0.1:8081</c>. Required.</summary>
    public EndpointAddress? Address { get; init; }

    /// <summary>What everybody must bring to be let in, as <c>Authorization: Bearer</c>; required on an address that others can reach. Default null: nothing.</summary>
    public string? Token { get; init; }

    /// <summary>Whether only this machine can reach it.</summary>
    internal bool IsLoopback => Address!.Host == "localhost" || IPAddress.TryParse(Address.Host, out var ip) && IPAddress.IsLoopback(ip);
}

/// <summary>What a listener speaks.</summary>
public enum ListenerProtocol
{
    /// <summary>HTTP requests are forwarded.</summary>
    Http,
}

/// <summary>One address where clients connect.</summary>
public sealed record ListenerOptions
{
    /// <summary>What it speaks. Default Http.</summary>
    public ListenerProtocol Protocol { get; init; } = ListenerProtocol.Http;

    /// <summary>Where it listens: <c>http://127.0.0.1:8080</c>, or <c>https://</c> with certificates; host <c>*</c> is every local address. Required.</summary>
    public EndpointAddress? Address { get; init; }

    /// <summary>
    /// The certificates of an https listener. A client gets the one whose names cover the one it asks for (SNI): an exact name before
    /// a wildcard, the first of the list where none does. Changed files are taken up within seconds.
    /// </summary>
    public IReadOnlyList<CertificateOptions> Certificates { get; init; } = [];

    /// <summary>
    /// <c>2</c>: a plain listener takes HTTP/2 with prior knowledge (h2c) and nothing else, as gRPC clients without TLS speak it.
    /// Default 1.1. An https listener negotiates.
    /// </summary>
    public Version HttpVersion { get; init; } = System.Net.HttpVersion.Version11;

    /// <summary>Whether a plain listener answers every request with a redirect (308) to https, at the port of the first https listener. Default false.</summary>
    public bool RedirectToHttps { get; init; }

    /// <summary>The <c>Strict-Transport-Security</c> field (RFC 6797) that an https listener adds where the backend sent none: <c>max-age=31536000</c>. Default null: none.</summary>
    public string? Hsts { get; init; }

    /// <summary>The pool that serves what no route takes. Required.</summary>
    public string? Pool { get; init; }

    /// <summary>Which requests go to another pool; the first that matches wins.</summary>
    public IReadOnlyList<RouteOptions> Routes { get; init; } = [];

    /// <summary>Whose <c>X-Forwarded-*</c> and <c>Forwarded</c> are believed: addresses or networks such as <c>10.0.0.0/8</c>. Default nobody's.</summary>
    public IReadOnlyList<IPNetwork> TrustedProxies { get; init; } = [];

    /// <summary>The largest request body, in bytes; a larger one is answered 413. Null (the default) is no limit.</summary>
    public long? MaxRequestBodySize { get; init; }

    /// <summary>How long a client may take to send the head of a request; then 408. Default 30 s.</summary>
    public TimeSpan RequestHeadersTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a connection may lie idle between two requests. Default 2 min 10 s.</summary>
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(130);

    /// <summary>How many connections there may be at once; a further one is closed at once. Null (the default) is no limit.</summary>
    public int? MaxConnections { get; init; }

    /// <summary>Where a line for each request goes: <c>Off</c> (the default), <c>Console</c>, or a file, which is appended to.</summary>
    public string AccessLog { get; init; } = "Off";

    /// <summary>How such a line is written. Default Common.</summary>
    public AccessLogFormat AccessLogFormat { get; init; } = AccessLogFormat.Common;

    /// <summary>Whether <c>GET /health</c> and <c>GET /status</c> are answered here instead of being forwarded. Default false.</summary>
    public bool StatusEndpoints { get; init; }

    /// <summary>The settings that cannot be changed while the listener runs, and are others here than there.</summary>
    internal IReadOnlyList<string> FixedSettingsThatDiffer(ListenerOptions other) =>
    [
        .. from setting in new (string Name, bool IsSame)[]
           {
               (nameof(Protocol), Protocol == other.Protocol),
               (nameof(Address), Address == other.Address),
               (nameof(Certificates), Certificates.SequenceEqual(other.Certificates)),
               (nameof(HttpVersion), HttpVersion == other.HttpVersion),
               (nameof(RedirectToHttps), RedirectToHttps == other.RedirectToHttps),
               (nameof(Hsts), Hsts == other.Hsts),
               (nameof(KeepAliveTimeout), KeepAliveTimeout == other.KeepAliveTimeout),
               (nameof(MaxConnections), MaxConnections == other.MaxConnections),
               (nameof(AccessLog), AccessLog == other.AccessLog),
               (nameof(AccessLogFormat), AccessLogFormat == other.AccessLogFormat),
               (nameof(StatusEndpoints), StatusEndpoints == other.StatusEndpoints),
           }
           where !setting.IsSame
           select setting.Name,
    ];
}

/// <summary>How the access log writes a request down.</summary>
public enum AccessLogFormat
{
    /// <summary>The Common Log Format, then seconds and backend.</summary>
    Common,

    /// <summary>An object on a line of its own.</summary>
    Json,
}

/// <summary>A certificate with its private key, in PEM.</summary>
public sealed record CertificateOptions
{
    /// <summary>The file of the certificate, followed by those of its issuers. Required.</summary>
    public string? File { get; init; }

    /// <summary>The file of its private key, unencrypted. Null (the default): the key is in <see cref="File"/>.</summary>
    public string? KeyFile { get; init; }

    /// <summary>Reads both files.</summary>
    /// <exception cref="System.Security.Cryptography.CryptographicException">What is in them is of no use.</exception>
    /// <exception cref="IOException">One of them cannot be read.</exception>
    internal SslStreamCertificateContext Read() =>
        PemCertificate.Read(System.IO.File.ReadAllText(File!), KeyFile is null ? null : System.IO.File.ReadAllText(KeyFile));
}

/// <summary>Sends the requests that it matches to a pool of their own.</summary>
public sealed record RouteOptions
{
    /// <summary>The host that was asked for, without a port; <c>*.example.com</c> is any name below example.com. Null matches every host.</summary>
    public string? Host { get; init; }

    /// <summary>The beginning of the path, in whole segments: <c>/api</c> matches <c>/api</c> and <c>/api/x</c>, not <c>/apix</c>. Null matches every path.</summary>
    public string? Path { get; init; }

    /// <summary>Where they go. Required.</summary>
    public string? Pool { get; init; }
}

/// <summary>A named group of backends and how to use them.</summary>
public sealed record PoolOptions
{
    /// <summary>How a backend is chosen. Default RoundRobin.</summary>
    public PolicyName Policy { get; init; } = PolicyName.RoundRobin;

    /// <summary>Its servers, by name. At least one.</summary>
    public IReadOnlyDictionary<string, BackendOptions> Backends { get; init; } = new Dictionary<string, BackendOptions>();

    /// <summary>How backends are probed; absent: not at all.</summary>
    public HealthCheckOptions? HealthCheck { get; init; }

    /// <summary>When failed requests take a backend out.</summary>
    public PassiveHealthOptions PassiveHealth { get; init; } = new();

    /// <summary>How often a request is tried again.</summary>
    public RetryOptions Retry { get; init; } = new();

    /// <summary>Where requests wait while every backend that could serve them is at its <see cref="BackendOptions.MaxInFlight"/>.</summary>
    public QueueOptions Queue { get; init; } = new();

    /// <summary>A second attempt beside one that takes long; absent: none.</summary>
    public HedgeOptions? Hedge { get; init; }

    /// <summary>Whether a client stays with the backend that served it first; absent: no.</summary>
    public StickySessionOptions? StickySession { get; init; }

    /// <summary>In which time the weight of a backend that was down grows back to the whole. Default 0: at once.</summary>
    public TimeSpan SlowStart { get; init; }

    /// <summary>How long to wait for a backend.</summary>
    public TimeoutOptions Timeouts { get; init; } = new();

    /// <summary>
    /// What is spoken to <c>http://</c> backends: 1.1 (the default), or 2 with prior knowledge (h2c), for gRPC. With <c>https://</c>
    /// backends it is negotiated (ALPN).
    /// </summary>
    public Version HttpVersion { get; init; } = System.Net.HttpVersion.Version11;

    /// <summary>How <c>https://</c> backends prove who they are.</summary>
    public BackendTlsOptions Tls { get; init; } = new();
}

/// <summary>How <c>https://</c> backends prove who they are.</summary>
public sealed record BackendTlsOptions
{
    /// <summary>A PEM file of the authorities to trust instead of the system's; a changed file is taken up within seconds. Default null: the system's.</summary>
    public string? AuthorityFile { get; init; }

    /// <summary>Whether the certificate is checked at all. Default true; false protects from listeners, not from impostors.</summary>
    public bool Verify { get; init; } = true;

    /// <summary>The name that is asked for (SNI) and that the certificate must bear. Default null: the host of the backend's address.</summary>
    public string? ServerName { get; init; }
}

/// <summary>The balancing policies.</summary>
public enum PolicyName
{
    /// <summary>Each in turn, by weight.</summary>
    RoundRobin,

    /// <summary>The one with the fewest requests in flight for its weight.</summary>
    LeastConnections,

    /// <summary>The one that is expected to answer first: by its recent response times and what it has in flight.</summary>
    ResponseTime,

    /// <summary>A client's address decides, so that it comes back to the same backend; not where that one has far more than its share.</summary>
    IpHash,

    /// <summary>Anyone, by weight.</summary>
    Random,

    /// <summary>Two at random, by weight, and of these the one with fewer requests in flight.</summary>
    PowerOfTwoChoices,

    /// <summary>The first that is eligible, in the order of the configuration.</summary>
    First,
}

/// <summary>One server.</summary>
public sealed record BackendOptions
{
    /// <summary>Where it listens: <c>http://host:port</c> or <c>https://host:port</c>. Required.</summary>
    public EndpointAddress? Address { get; init; }

    /// <summary>Its share relative to the others, 0..1000; 0 gets nothing. Default 1.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>How many requests it may have at once; null (the default) is without limit.</summary>
    public int? MaxInFlight { get; init; }

    /// <summary>Whether it is to work: <c>Draining</c> finishes what it has and keeps its sticky clients. Default Ready.</summary>
    public AdminState AdminState { get; init; } = AdminState.Ready;
}
