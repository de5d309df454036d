namespace LoadBalancer.Configuration.Options;

/// <summary>
/// Outliers: a backend that succeeds far less often, or answers far later, than the others of its pool is ejected. That is looked at
/// after each <see cref="Interval"/>, among the backends that had enough requests in it.
/// </summary>
public sealed record OutlierOptions
{
    /// <summary>
    /// How many standard deviations (of the population) below the mean the share of succeeded requests may be; above 0. Default 1.9.
    /// </summary>
    public double StandardDeviations { get; init; } = 1.9;

    /// <summary>How many backends must have had enough requests; 2 or more. Default 5.</summary>
    public int MinHosts { get; init; } = 5;

    /// <summary>How many requests in an interval are enough. Default 100.</summary>
    public int MinRequests { get; init; } = 100;

    /// <summary>How long an interval is; 1 s or more. Default 10 s.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// The share of the pool's backends that may be out as outliers at once, above 0 to 1; one may always be out. Default 0.1.
    /// </summary>
    public double MaxShare { get; init; } = 0.1;

    /// <summary>Whether a response with a status of 500 or more is a failure too, as far as this is concerned. Default false.</summary>
    public bool CountServerErrors { get; init; }
}
