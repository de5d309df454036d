namespace LoadBalancer.Configuration.Options;

/// <summary>
/// The whole configuration: section <c>LoadBalancer</c>. A setting of these records that is required and not in the file is null until the
/// validation has reported it; options that are valid have it.
/// </summary>
public sealed record LoadBalancerOptions
{
    /// <summary>The section of the configuration that is ours.</summary>
    public const string SectionName = "LoadBalancer";

    /// <summary>How long requests, connections and tasks in flight may go on after the order to stop. Default 30 s.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where clients connect, by name. At least one.</summary>
    public IReadOnlyDictionary<string, ListenerOptions> Listeners { get; init; } = new Dictionary<string, ListenerOptions>();

    /// <summary>The groups of backends, by name.</summary>
    public IReadOnlyDictionary<string, PoolOptions> Pools { get; init; } = new Dictionary<string, PoolOptions>();

    /// <summary>Limits of how many requests may come, by the name that listeners and routes use.</summary>
    public IReadOnlyDictionary<string, RateLimitOptions> RateLimits { get; init; } = new Dictionary<string, RateLimitOptions>();

    /// <summary>Ways to authenticate clients, by the name that listeners and routes use.</summary>
    public IReadOnlyDictionary<string, AuthenticationOptions> Authentication { get; init; } =
        new Dictionary<string, AuthenticationOptions>();

    /// <summary>
    /// Traces of requests, which are sent by OTLP to where <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> in the environment says. Absent: there are
    /// none.
    /// </summary>
    public TracingOptions? Tracing { get; init; }

    /// <summary>Where the dashboard, the management API and the metrics are. Absent: there are none.</summary>
    public ManagementOptions? Management { get; init; }

    /// <summary>The nodes that this one acts as one with. Absent: it is alone.</summary>
    public ClusterOptions? Cluster { get; init; }
}
