namespace LoadBalancer.Configuration.Options;

/// <summary>Where copies of a route's requests go. Their answers are read and thrown away.</summary>
public sealed record MirrorOptions
{
    /// <summary>The pool that gets them. Required.</summary>
    public string Pool { get; init; } = null!;

    /// <summary>The share of the requests that are copied, from 0 to 1. Default 1.</summary>
    public double Share { get; init; } = 1;
}
