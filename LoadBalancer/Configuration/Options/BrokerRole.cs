namespace LoadBalancer.Configuration.Options;

/// <summary>What a broker is at the start.</summary>
public enum BrokerRole
{
    /// <summary>It serves.</summary>
    Main,

    /// <summary>It watches a main, and serves when that falls silent.</summary>
    Alternative,
}
