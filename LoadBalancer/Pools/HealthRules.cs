namespace LoadBalancer.Pools;

/// <summary>The limits at which observations change the health of a backend.</summary>
public sealed record HealthRules
{
    /// <summary>
    /// Whether probes run. If so, a backend is down until the first one succeeds, and a refused connect counts as a failed probe.
    /// </summary>
    public bool Probed { get; init; }

    /// <summary>Whether heartbeats are expected. If so, a backend is down until the first one comes, and when they cease.</summary>
    public bool Heartbeats { get; init; }

    /// <summary>Consecutive successful probes that bring a backend up again; the very first probe decides alone.</summary>
    public int Rise { get; init; } = 1;

    /// <summary>Consecutive failed probes that take a backend down; the very first probe decides alone.</summary>
    public int Fall { get; init; } = 1;

    /// <summary>Consecutive failed attempts, all within <see cref="Window"/>, that eject a backend.</summary>
    public int Failures { get; init; } = 3;

    /// <summary>The share of failed attempts within <see cref="Window"/> that ejects a backend, above 0 to 1.</summary>
    public double FailureShare { get; init; } = 0.5;

    /// <summary>The least number of attempts in the window for which the share is looked at.</summary>
    public int LeastAttempts { get; init; } = 20;

    /// <summary>The longest time that a run of failed attempts may take, and the window for the share.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long the first ejection lasts; each further one that follows soon lasts twice as long.</summary>
    public TimeSpan Ejection { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The longest ejection.</summary>
    public TimeSpan LongestEjection { get; init; } = TimeSpan.FromMinutes(5);
}
