using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>What a listener speaks.</summary>
public enum ListenerProtocol
{
    /// <summary>HTTP requests are forwarded.</summary>
    Http,

    /// <summary>Connections are relayed, whatever goes over them.</summary>
    Tcp,

    /// <summary>Lines with tasks are handed to workers that register.</summary>
    Tasks,

    /// <summary>ZeroMQ requests are handed to workers that connect.</summary>
    Broker,
}

/// <summary>One address where clients connect. Each setting is for the protocols that it names, or for all.</summary>
public sealed record ListenerOptions
{
    /// <summary>What it speaks. Default Http.</summary>
    [Setting]
    public ListenerProtocol Protocol { get; init; } = ListenerProtocol.Http;

    /// <summary>
    /// Where it listens: <c>http://127.0.0.1:8080</c>, <c>https://</c> with certificates, or <c>tcp://</c> where it does not speak HTTP;
    /// a Broker's has no port. Host <c>*</c> is every local address. Required.
    /// </summary>
    [Setting]
    public EndpointAddress? Address { get; init; }

    /// <summary>The pool that serves what no route takes. Required.</summary>
    [Setting(IsLive = true)]
    public string? Pool { get; init; }

    /// <summary>How many connections there may be at once; a further one is closed at once. Null (the default) is no limit.</summary>
    [Setting]
    public int? MaxConnections { get; init; }

    /// <summary>
    /// The certificates of an https listener, or of a Tcp listener that ends TLS. A client gets the one whose names cover the one it asks
    /// for (SNI): an exact name before a wildcard, the first of the list where none does. Changed files are taken up within seconds.
    /// </summary>
    [Setting(ListenerProtocol.Http, ListenerProtocol.Tcp)]
    public IReadOnlyList<CertificateOptions> Certificates { get; init; } = [];

    /// <summary>
    /// Whose <c>X-Forwarded-*</c> and <c>Forwarded</c> are believed, or whose PROXY headers: addresses or networks such as
    /// <c>10.0.0.0/8</c>. Default nobody's.
    /// </summary>
    [Setting(ListenerProtocol.Http, ListenerProtocol.Tcp, IsLive = true)]
    public IReadOnlyList<IPNetwork> TrustedProxies { get; init; } = [];

    /// <summary>
    /// <c>2</c>: a plain listener takes HTTP/2 with prior knowledge (h2c) and nothing else, as gRPC clients without TLS speak it.
    /// Default 1.1. An https listener negotiates.
    /// </summary>
    [Setting(ListenerProtocol.Http)]
    public Version HttpVersion { get; init; } = System.Net.HttpVersion.Version11;

    /// <summary>Whether a plain listener answers every request with a redirect (308) to https, at the port of the first https listener. Default false.</summary>
    [Setting(ListenerProtocol.Http)]
    public bool RedirectToHttps { get; init; }

    /// <summary>The <c>Strict-Transport-Security</c> field (RFC 6797) that an https listener adds where the backend sent none: <c>max-age=31536000</c>. Default null: none.</summary>
    [Setting(ListenerProtocol.Http)]
    public string? Hsts { get; init; }

    /// <summary>Which requests go to another pool; the first that matches wins.</summary>
    [Setting(ListenerProtocol.Http, IsLive = true)]
    public IReadOnlyList<RouteOptions> Routes { get; init; } = [];

    /// <summary>The largest request body, in bytes; a larger one is answered 413. Null (the default) is no limit.</summary>
    [Setting(ListenerProtocol.Http, IsLive = true)]
    public long? MaxRequestBodySize { get; init; }

    /// <summary>How long a client may take to send the head of a request; then 408. Default 30 s.</summary>
    [Setting(ListenerProtocol.Http, IsLive = true)]
    public TimeSpan RequestHeadersTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a connection may lie idle between two requests. Default 2 min 10 s.</summary>
    [Setting(ListenerProtocol.Http)]
    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(130);

    /// <summary>Where a line for each request goes: <c>Off</c> (the default), <c>Console</c>, or a file, which is appended to.</summary>
    [Setting(ListenerProtocol.Http)]
    public string AccessLog { get; init; } = "Off";

    /// <summary>How such a line is written. Default Common.</summary>
    [Setting(ListenerProtocol.Http)]
    public AccessLogFormat AccessLogFormat { get; init; } = AccessLogFormat.Common;

    /// <summary>Whether <c>GET /health</c> and <c>GET /status</c> are answered here instead of being forwarded. Default false.</summary>
    [Setting(ListenerProtocol.Http)]
    public bool StatusEndpoints { get; init; }

    /// <summary>How long nothing may move over a connection, in neither direction, before it is closed. Default 1 h.</summary>
    [Setting(ListenerProtocol.Tcp, IsLive = true)]
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromHours(1);

    /// <summary>What a client is sent, as it is, where no backend can be had, before its connection is closed. Default null: nothing.</summary>
    [Setting(ListenerProtocol.Tcp, IsLive = true)]
    public string? UnavailableMessage { get; init; }

    /// <summary>
    /// Whether connections from <see cref="TrustedProxies"/> begin with a PROXY header (version 1 or 2), which says who the client is.
    /// Default false.
    /// </summary>
    [Setting(ListenerProtocol.Tcp, IsLive = true)]
    public bool AcceptProxyProtocol { get; init; }

    /// <summary>Where workers register: <c>tcp://127.0.0.1:8889</c>. Required.</summary>
    [Setting(ListenerProtocol.Tasks)]
    public EndpointAddress? WorkerAddress { get; init; }

    /// <summary>How long a worker may keep a task before another one gets it. Default 1 min.</summary>
    [Setting(ListenerProtocol.Tasks, IsLive = true)]
    public TimeSpan TaskTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How many workers are given the same task at the most, one after the other. Default 3.</summary>
    [Setting(ListenerProtocol.Tasks, IsLive = true)]
    public int MaxAttempts { get; init; } = 3;

    /// <summary>How many tasks or requests may wait for a worker; a further one is refused. Default 10,000.</summary>
    [Setting(ListenerProtocol.Tasks, ListenerProtocol.Broker, IsLive = true)]
    public int QueueLimit { get; init; } = 10_000;

    /// <summary>The longest line, in bytes without its end; who sends a longer one is told so and cut. Default 64 KiB.</summary>
    [Setting(ListenerProtocol.Tasks)]
    public int MaxLineLength { get; init; } = 64 * 1024;

    /// <summary>How long a client may take until its first line, and a worker until it has registered; then they are cut. Default 30 s.</summary>
    [Setting(ListenerProtocol.Tasks)]
    public TimeSpan FirstLineTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where tasks wait. Default: in this process.</summary>
    [Setting(ListenerProtocol.Tasks)]
    public TaskQueueOptions Queue { get; init; } = new();

    /// <summary>Where a broker listens, port by port.</summary>
    [Setting(ListenerProtocol.Broker)]
    public BrokerPorts Ports { get; init; } = new();

    /// <summary>Whether a broker serves from the start, or takes over when its main falls silent. Default Main.</summary>
    [Setting(ListenerProtocol.Broker)]
    public BrokerRole Role { get; init; } = BrokerRole.Main;

    /// <summary>Where an alternative finds its main; required there, and of no use elsewhere.</summary>
    [Setting(ListenerProtocol.Broker)]
    public IPAddress? MainAddress { get; init; }

    /// <summary>What others are to call this node by. Default null: the host of <see cref="Address"/>.</summary>
    [Setting(ListenerProtocol.Broker)]
    public IPAddress? AdvertisedAddress { get; init; }

    /// <summary>A main's usual alternative, asked at the start whether it serves in its place by now. Default null: nobody is asked.</summary>
    [Setting(ListenerProtocol.Broker)]
    public IPAddress? AlternativeAddress { get; init; }

    /// <summary>How often a broker says that it is there. Default 1 s.</summary>
    [Setting(ListenerProtocol.Broker)]
    public TimeSpan PublishInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a peer may be silent before it is taken for gone. Default 5 s.</summary>
    [Setting(ListenerProtocol.Broker)]
    public TimeSpan PeerTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The settings that cannot be changed while the listener runs, and are others here than there.</summary>
    internal IReadOnlyList<string> FixedSettingsThatDiffer(ListenerOptions other) =>
        [.. SettingAttribute.Listener.Where(setting => !setting.IsLive && !setting.IsSame(this, other)).Select(setting => setting.Name)];

    /// <summary>The settings that something is made of, though they are for other protocols.</summary>
    internal IReadOnlyList<(string Name, string Protocols)> SettingsOfOthers() =>
    [
        .. SettingAttribute.Listener.Where(setting => !setting.IsFor(Protocol) && !setting.IsSame(this, new ListenerOptions()))
            .Select(setting => (setting.Name, setting.Protocols)),
    ];
}
