using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration.Options;

/// <summary>A named group of backends and how to use them.</summary>
public sealed record PoolOptions
{
    /// <summary>How a backend is chosen. Default RoundRobin.</summary>
    public PolicyName Policy { get; init; } = PolicyName.RoundRobin;

    /// <summary>Its servers, by name. At least one, but for a pool whose workers register themselves: that has none.</summary>
    public IReadOnlyDictionary<string, BackendOptions> Backends { get; init; } = new Dictionary<string, BackendOptions>();

    /// <summary>How backends are probed; absent: not at all.</summary>
    public HealthCheckOptions? HealthCheck { get; init; }

    /// <summary>By which datagrams backends say that they are there; absent: by none.</summary>
    public HeartbeatOptions? Heartbeat { get; init; }

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

    /// <summary>Whether each connection that is relayed to a backend begins with a PROXY header (version 2), which says who the client is. Default false.</summary>
    public bool SendProxyProtocol { get; init; }

    /// <summary>How <c>https://</c> backends prove who they are.</summary>
    public BackendTlsOptions Tls { get; init; } = new();

    /// <summary>Whether its backends speak HTTP.</summary>
    internal bool IsHttp => Backends.Values.All(backend => backend.Address?.Scheme is not "tcp");
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
    /// <summary>Where it listens: <c>http://host:port</c> or <c>https://host:port</c>, or <c>tcp://host:port</c> where connections are relayed. Required.</summary>
    public EndpointAddress? Address { get; init; }

    /// <summary>
    /// Where its heartbeats come from: <c>udp://address:port</c>; 0.0.0.0 is any local address. Required in a pool with
    /// <see cref="PoolOptions.Heartbeat"/>, where it registers by both addresses, and of no use elsewhere. Default null.
    /// </summary>
    public EndpointAddress? HeartbeatAddress { get; init; }

    /// <summary>Its share relative to the others, 0..1000; 0 gets nothing. Default 1.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>How many requests it may have at once; null (the default) is without limit.</summary>
    public int? MaxInFlight { get; init; }

    /// <summary>Whether it is to work: <c>Draining</c> finishes what it has and keeps its sticky clients. Default Ready.</summary>
    public AdminState AdminState { get; init; } = AdminState.Ready;
}
