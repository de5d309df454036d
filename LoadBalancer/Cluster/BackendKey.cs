namespace LoadBalancer.Cluster;

/// <summary>A backend of a cluster. Names that differ in case alone are one, as in the configuration.</summary>
internal readonly record struct BackendKey
{
    private BackendKey(string pool, string backend) => (Pool, Backend) = (pool, backend);

    /// <summary>The name of its pool, in lower case.</summary>
    public string Pool { get; }

    /// <summary>Its name, in lower case.</summary>
    public string Backend { get; }

    /// <summary>The key of a backend.</summary>
    public static BackendKey Of(string pool, string backend) => new(pool.ToLowerInvariant(), backend.ToLowerInvariant());
}
