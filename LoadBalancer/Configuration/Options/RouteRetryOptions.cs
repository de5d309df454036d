namespace LoadBalancer.Configuration.Options;

/// <summary>The retries of a route.</summary>
public sealed record RouteRetryOptions
{
    /// <summary>Attempts in all; 1 is no retry. Null (the default): the pool's.</summary>
    public int? Attempts { get; init; }
}
