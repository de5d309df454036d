namespace LoadBalancer.Configuration.Options;

/// <summary>The request queue of a pool.</summary>
public sealed record QueueOptions
{
    /// <summary>How many requests may wait. Default 0: none, they are rejected at once.</summary>
    public int Limit { get; init; }

    /// <summary>How long a request may wait; then it is rejected. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);
}
