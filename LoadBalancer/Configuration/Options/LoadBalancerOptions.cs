namespace LoadBalancer.Configuration.Options;

/// <summary>The whole configuration: section <c>LoadBalancer</c>.</summary>
public sealed record LoadBalancerOptions
{
    /// <summary>The section of the configuration that is ours.</summary>
    public const string SectionName = "LoadBalancer";

    /// <summary>How long work in flight may go on after the order to stop. Default 30 s.</summary>
    public TimeSpan ShutdownTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where clients connect, by name. At least one.</summary>
    public IReadOnlyDictionary<string, ListenerOptions> Listeners { get; init; } = new Dictionary<string, ListenerOptions>();

    /// <summary>The groups of backends, by name.</summary>
    public IReadOnlyDictionary<string, PoolOptions> Pools { get; init; } = new Dictionary<string, PoolOptions>();

    /// <summary>Where the dashboard, the management API and the metrics are; absent: nowhere.</summary>
    public ManagementOptions? Management { get; init; }
}
