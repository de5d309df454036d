namespace LoadBalancer.Configuration.Options;

/// <summary>The balancing policies.</summary>
public enum PolicyName
{
    /// <summary>Each in turn, by weight.</summary>
    RoundRobin,

    /// <summary>The backend with the fewest requests in flight for its weight.</summary>
    LeastConnections,

    /// <summary>The backend that is expected to answer first: by its recent response times and what it has in flight.</summary>
    ResponseTime,

    /// <summary>
    /// The client's address decides, so that a client comes back to the same backend, unless that one has far more than its share.
    /// </summary>
    IpHash,

    /// <summary>The same with <see cref="PoolOptions.HashKey"/> in the place of the client's address.</summary>
    Hash,

    /// <summary>Any backend at random, by weight.</summary>
    Random,

    /// <summary>Two backends at random, by weight, and of these the one with fewer requests in flight.</summary>
    PowerOfTwoChoices,

    /// <summary>The first that is eligible, in the order of the configuration.</summary>
    First,

    /// <summary>
    /// Five backends at random, by weight, and of those that have not clearly more in flight than usual the one that is expected to answer
    /// first.
    /// </summary>
    HotCold,
}
