namespace LoadBalancer.Configuration.Options;

/// <summary>How long to wait for a backend.</summary>
public sealed record TimeoutOptions
{
    /// <summary>For one connect. Default 5 s.</summary>
    public TimeSpan Connect { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>From the end of the request to the head of the response. Default 1 min.</summary>
    public TimeSpan Response { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>For a message of which no byte moves, in either direction. Default 1 min 40 s.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromSeconds(100);
}
