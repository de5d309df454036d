namespace LoadBalancer.Configuration.Options;

/// <summary>The time-outs of a route.</summary>
public sealed record RouteTimeoutOptions
{
    /// <summary>From the end of the request to the head of the response. Null (the default): the pool's.</summary>
    public TimeSpan? Response { get; init; }

    /// <summary>
    /// From the head of the request to the end of the response, with the time in the queue and all attempts. Beyond that it is answered 504
    /// or, where the response has begun, broken off. Null (the default) is no limit.
    /// </summary>
    public TimeSpan? Total { get; init; }
}
