namespace LoadBalancer.Configuration.Options;

/// <summary>How many requests may come; one count for each key.</summary>
public sealed record RateLimitOptions
{
    /// <summary>
    /// What is counted apart: <c>Client</c> (the client's address; of IPv6 its first 64 bits; the default), <c>Header:NAME</c>,
    /// <c>Host</c>,
    /// <c>User</c> (who was authenticated), or <c>All</c>, one count for all.
    /// </summary>
    public string Key { get; init; } = "Client";

    /// <summary>Requests in a <see cref="Window"/>. Null (the default): no limit of the rate.</summary>
    public int? Permits { get; init; }

    /// <summary>The time for <see cref="Permits"/>: each request is given back after its part of it. Default 1 s.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Requests that may come at once. Null (the default): as many as <see cref="Permits"/>.</summary>
    public int? Burst { get; init; }

    /// <summary>Requests in flight at once. Null (the default) is no limit.</summary>
    public int? MaxInFlight { get; init; }

    /// <summary>How many keys are remembered; beyond that those that were not used for the longest time go. Default 100,000.</summary>
    public int MaxKeys { get; init; } = 100_000;
}
