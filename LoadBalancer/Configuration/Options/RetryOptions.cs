namespace LoadBalancer.Configuration.Options;

/// <summary>Trying again at another backend.</summary>
public sealed record RetryOptions
{
    /// <summary>
    /// Attempts in all for a request that a backend may have seen; 1 is no retry. An attempt that could not connect does not count,
    /// because that backend saw nothing. Default 2.
    /// </summary>
    public int Attempts { get; init; } = 2;

    /// <summary>Retries allowed as a share of the requests of the last 10 s, 0..1; ten are always allowed. Default 0.2.</summary>
    public double Budget { get; init; } = 0.2;
}
