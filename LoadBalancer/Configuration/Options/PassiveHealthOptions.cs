namespace LoadBalancer.Configuration.Options;

/// <summary>
/// Passive health: when failed requests take a backend out. They take out half of a pool at most; refused connections may take out all.
/// </summary>
public sealed record PassiveHealthOptions
{
    /// <summary>Consecutive failed requests that eject a backend. Default 3.</summary>
    public int Failures { get; init; } = 3;

    /// <summary>
    /// The share of failed requests within the window that ejects a backend, of 20 requests or more; above 0 to 1. Default 0.5.
    /// </summary>
    public double FailureShare { get; init; } = 0.5;

    /// <summary>The time within which they must happen. Default 10 s.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long an ejected backend stays out the first time; twice as long each time that it is ejected again soon after it came back.
    /// Default 10 s.
    /// </summary>
    public TimeSpan Ejection { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long it stays out at most. Default 5 min.</summary>
    public TimeSpan LongestEjection { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>When a backend is ejected because the others of its pool do better. Absent: never.</summary>
    public OutlierOptions? Outliers { get; init; }
}
