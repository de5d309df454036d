namespace LoadBalancer.Configuration.Options;

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
