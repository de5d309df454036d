namespace LoadBalancer.Pools;

/// <summary>When observations turn into a change of health.</summary>
public sealed record HealthRules
{
    /// <summary>Whether probes run. If so, a backend is down until the first one succeeds, and a refused connect counts as a failed probe.</summary>
    public bool Probed { get; init; }

    /// <summary>Consecutive successful probes that bring a backend up again; the very first probe decides alone.</summary>
    public int Rise { get; init; } = 1;

    /// <summary>Consecutive failed probes that take a backend down; the very first probe decides alone.</summary>
    public int Fall { get; init; } = 1;

    /// <summary>Consecutive failed attempts, all within <see cref="Window"/>, that eject a backend.</summary>
    public int Failures { get; init; } = 3;

    /// <summary>How long a run of failed attempts may take to count as one run.</summary>
    public TimeSpan Window { get; init; } = TimeSpan.FromSeconds(10);
}
