using LoadBalancer.Pools;

namespace LoadBalancer.Configuration.Options;

/// <summary>A named group of backends and how to use them.</summary>
public sealed record PoolOptions
{
    /// <summary>How a backend is chosen. Default RoundRobin.</summary>
    public PolicyName Policy { get; init; } = PolicyName.RoundRobin;

    /// <summary>
    /// What the policy Hash hashes: <c>Client</c> (the client's address), <c>Header:NAME</c>, <c>Cookie:NAME</c>, <c>Query:NAME</c> or
    /// <c>Path</c>. A request without it goes by client. Null (the default): by client.
    /// </summary>
    public string? HashKey { get; init; }

    /// <summary>
    /// Its servers, by name. At least one, here or in <see cref="BackendsFile"/>; none in a pool that workers join by registering or
    /// connecting.
    /// </summary>
    public IReadOnlyDictionary<string, BackendOptions> Backends { get; init; } = new Dictionary<string, BackendOptions>();

    /// <summary>
    /// A file with further servers, for programs that generate it: a JSON list of <c>{ "name", "address", "weight" }</c>. Changes are
    /// applied within a few seconds. Relative to the configuration file. Default null.
    /// </summary>
    [BesideConfiguration]
    public string? BackendsFile { get; init; }

    /// <summary>
    /// How many requests each of its backends may have at once that does not say so itself: a number, or Auto, which finds the limit by
    /// response times. Null (the default) is no limit.
    /// </summary>
    public InFlightLimit? MaxInFlight { get; init; }

    /// <summary>How the names of its backends are looked up.</summary>
    public DnsOptions Dns { get; init; } = new();

    /// <summary>How backends are probed. Absent: not at all.</summary>
    public HealthCheckOptions? HealthCheck { get; init; }

    /// <summary>Which heartbeats backends send. Absent: none.</summary>
    public HeartbeatOptions? Heartbeat { get; init; }

    /// <summary>When failed requests take a backend out.</summary>
    public PassiveHealthOptions PassiveHealth { get; init; } = new();

    /// <summary>How often a request is tried again.</summary>
    public RetryOptions Retry { get; init; } = new();

    /// <summary>Where requests wait while every backend that could serve them is at its <see cref="BackendOptions.MaxInFlight"/>.</summary>
    public QueueOptions Queue { get; init; } = new();

    /// <summary>A second attempt beside one that takes long. Absent: none.</summary>
    public HedgeOptions? Hedge { get; init; }

    /// <summary>How a client stays with the backend that served it first. Absent: it does not.</summary>
    public StickySessionOptions? StickySession { get; init; }

    /// <summary>In which time the weight of a backend that was down grows to its full value again. Default 0: at once.</summary>
    public TimeSpan SlowStart { get; init; }

    /// <summary>How long to wait for a backend.</summary>
    public TimeoutOptions Timeouts { get; init; } = new();

    /// <summary>
    /// What is spoken to <c>http://</c> backends: 1.1 (the default), or 2 with prior knowledge (h2c), for gRPC. With <c>https://</c>
    /// backends it is negotiated (ALPN).
    /// </summary>
    public Version HttpVersion { get; init; } = System.Net.HttpVersion.Version11;

    /// <summary>
    /// Whether each connection that is relayed to a backend begins with a PROXY header (version 2), which says who the client is.
    /// Default false.
    /// </summary>
    public bool SendProxyProtocol { get; init; }

    /// <summary>How the certificates of <c>https://</c> backends are checked.</summary>
    public BackendTlsOptions Tls { get; init; } = new();

    /// <summary>Whether its policy hashes something of a request.</summary>
    internal bool IsHashed => Policy is PolicyName.Hash or PolicyName.IpHash;

    /// <summary>Whether its backends speak HTTP.</summary>
    internal bool IsHttp => Backends.Values.All(backend => !backend.Address.IsTcp);

    /// <summary>Whether its members are workers, which join it by themselves.</summary>
    internal bool IsJoined => Backends.Count == 0 && BackendsFile is null;
}
