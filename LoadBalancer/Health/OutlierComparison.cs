using System.Globalization;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>
/// What the backends of a pool are compared with after an interval. By success: the mean of their shares minus a number of standard
/// deviations of the population, as Envoy's <c>success_rate</c>. By time: three times the median of all responses, and 100 ms more than
/// that.
/// </summary>
internal sealed class OutlierComparison
{
    private const double SlowFactor = 3;
    private static readonly TimeSpan SlowMargin = TimeSpan.FromMilliseconds(100);

    private readonly OutlierRules _rules;

    private OutlierComparison(OutlierRules rules, PoolOutliers numbers) => (_rules, Numbers) = (rules, numbers);

    /// <summary>The numbers.</summary>
    public PoolOutliers Numbers { get; }

    /// <summary>Works the numbers out.</summary>
    /// <param name="rules">The rules.</param>
    /// <param name="shares">The share of succeeded attempts of each backend that had enough.</param>
    /// <param name="timed">How many backends had enough responses.</param>
    /// <param name="median">The median of all responses of those.</param>
    public static OutlierComparison Of(OutlierRules rules, IReadOnlyList<double> shares, int timed, TimeSpan? median)
    {
        double? mean = null, least = null;
        if (shares.Count >= rules.MinHosts)
        {
            var average = shares.Average();
            var deviation = Math.Sqrt(shares.Average(share => (share - average) * (share - average)));
            (mean, least) = (average, Math.Max(0, average - rules.StandardDeviations * deviation));
        }
        median = timed >= rules.MinHosts ? median : null;
        TimeSpan? longest = median is { } half ? Longest(half) : null;
        return new OutlierComparison(rules, new PoolOutliers(shares.Count, mean, least, median, longest));
    }

    /// <summary>Whether a backend with this share of succeeded attempts is an outlier.</summary>
    public bool IsRare(double share) => share < Numbers.LeastShare - 1e-9; // Rounding makes no outliers of equals.

    /// <summary>Whether a backend with this median is an outlier, if it was before.</summary>
    public bool IsSlow(TimeSpan median) => median >= Numbers.LongestMedian;

    /// <summary>Why a backend is an outlier.</summary>
    public string ReasonOf(OutlierNumbers backend, bool isSlow)
    {
        var interval = string.Create(CultureInfo.InvariantCulture, $"{_rules.Interval.TotalSeconds:0.###} s");
        return isSlow
            ? string.Create(CultureInfo.InvariantCulture,
                $"outlier: median {Milliseconds(backend.Median)} in two intervals of {interval}; "
                + $"the pool's is {Milliseconds(Numbers.Median)}, the limit {Milliseconds(Numbers.LongestMedian)}")
            : string.Create(CultureInfo.InvariantCulture,
                $"outlier: {100 * backend.SuccessShare:0.0} % of {backend.Requests} requests succeeded in {interval}; "
                + $"the mean of {Numbers.Hosts} backends is {100 * Numbers.MeanShare:0.0} %, the limit {100 * Numbers.LeastShare:0.0} %");
    }

    private static TimeSpan Longest(TimeSpan median)
    {
        var (times, margin) = (median * SlowFactor, median + SlowMargin);
        return times > margin ? times : margin;
    }

    private static string Milliseconds(TimeSpan? time) =>
        string.Create(CultureInfo.InvariantCulture, $"{time?.TotalMilliseconds:0.###} ms");
}
