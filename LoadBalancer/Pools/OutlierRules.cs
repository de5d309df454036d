namespace LoadBalancer.Pools;

/// <summary>When a backend is an outlier of its pool.</summary>
/// <param name="StandardDeviations">How many of them below the mean the share of succeeded attempts may be.</param>
/// <param name="MinHosts">How many backends must have had enough attempts.</param>
/// <param name="MinRequests">How many attempts in an interval are enough.</param>
/// <param name="Interval">How long an interval is.</param>
/// <param name="MaxShare">The share of the pool's backends that may be out as outliers at once; one may always be out.</param>
/// <param name="CountServerErrors">Whether a response with a status of 500 or more is a failure too.</param>
public sealed record OutlierRules(
    double StandardDeviations, int MinHosts, int MinRequests, TimeSpan Interval, double MaxShare, bool CountServerErrors);
