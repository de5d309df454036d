namespace LoadBalancer.Configuration.Options;

/// <summary>The waiting room of a pool.</summary>
public sealed record QueueOptions
{
    /// <summary>How many requests may wait; 0 (the default) is none: they are refused at once.</summary>
    public int Limit { get; init; }

    /// <summary>How long one may wait; then it is refused. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);
}
