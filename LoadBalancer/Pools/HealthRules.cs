namespace LoadBalancer.Pools;

/// <summary>When observations turn into a change of health.</summary>
public sealed record HealthRules
{
    /// <summary>Whether probes run. If so, a backend is down until the first one succeeds, and a refused connect counts as a failed probe.</summary>
    public bool Probed { get; init; }

    /// <summary>Whether heartbeats are wanted. If so, a backend is down until the first one comes, and when none comes any more.</summary>
    public bool Heartbeats { get; init; }

    /// <summary>Consecutive successful probes that bring a backend up again; the very first probe decides alone.</summary>
    public int Rise { get; init; } = 1;

    /// <summary>Consecutive failed probes that take a backend down; the very first probe decides alone.</summary>
    public int Fall { get; init; } = 1;

    /// <summary>Consecutive failed attempts, all within <see cref="Window"/>, that eject a backend.</summary>
    public int Failures { get; init; } = 3;

    /// <summary>The share of failed attempts within <see cref="Window"/> that ejects a backend, above 0 to 1.</summary>
    public double FailureShare { get; init; } = 0.5;

    /// <summary>How many attempts within the window a share must be a share of.</summary>
    public int LeastAttempts { get; init; } = 20;

    /// <summary>How long a run of failed attempts may take to count as one run, and the time of which a share is taken.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a backend is out the first time; twice as long each further time that follows soon.</summary>
    public TimeSpan Ejection { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long it is out at the most.</summary>
    public TimeSpan LongestEjection { get; init; } = TimeSpan.FromMinutes(5);
}
