namespace LoadBalancer.Configuration.Options;

/// <summary>What becomes of the addresses of a backend whose address has a name.</summary>
public enum ResolveMode
{
    /// <summary>It is one backend: the addresses are tried in turn when a connection is opened.</summary>
    First,

    /// <summary>Every address is a backend of its own, which comes and goes with the answers of the DNS.</summary>
    All,
}
