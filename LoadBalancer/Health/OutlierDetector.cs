using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Health;

/// <summary>
/// Looks for the outliers of a pool after each interval, and ejects them: the worst first, and so many as may be out at once. Between
/// the intervals it does nothing; the backends count, see <see cref="OutlierCounts"/>.
/// </summary>
public sealed partial class OutlierDetector : IDisposable
{
    // A backend that is slow for a moment, in which it collects garbage for example, is no outlier.
    private const int SlowIntervals = 2;

    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly long[] _times = new long[TimeBuckets.Count];
    private readonly long[] _allTimes = new long[TimeBuckets.Count];
    private Dictionary<Backend, int> _slow = []; // for how many intervals in a row
    private OutlierRules? _rules;
    private ITimer? _timer;

    /// <summary>Makes the detector of a pool. It does nothing before <see cref="Apply"/>.</summary>
    public OutlierDetector(BackendPool pool, TimeProvider time, ILogger logger)
    {
        (_pool, _time, _logger) = (pool, time, logger);
        pool.MembersChanged += _ => CountForAll();
    }

    /// <summary>
    /// Looks for outliers by these rules from now on; null: for none. An interval under way begins anew where they differ.
    /// </summary>
    public void Apply(OutlierRules? rules)
    {
        lock (_gate)
        {
            if (rules == _rules)
            {
                return;
            }
            _timer?.Dispose();
            _rules = rules;
            _slow = [];
            _pool.Outliers = null;
            foreach (var member in _pool.Snapshot.Members)
            {
                (member.OutlierCounts, member.Outlier) = (null, null);
            }
            _timer = rules is null ? null : _time.CreateTimer(_ => EndInterval(), null, rules.Interval, rules.Interval);
        }
        CountForAll();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _timer?.Dispose();
            (_timer, _rules) = (null, null);
        }
    }

    private void CountForAll()
    {
        lock (_gate)
        {
            if (_rules is { } rules)
            {
                foreach (var member in _pool.Snapshot.Members)
                {
                    member.OutlierCounts ??= new OutlierCounts(rules.CountServerErrors);
                }
            }
        }
    }

    // An error here must not end the process.
    private void EndInterval()
    {
        try
        {
            foreach (var outlier in FindOutliers())
            {
                if (_pool.TryEjectOutlier(outlier.Backend, outlier.Reason))
                {
                    outlier.Backend.OutlierCounts?.CountEjection(outlier.IsSlow);
                }
            }
        }
        catch (Exception e)
        {
            LogFailed(e, _pool.Name);
        }
    }

    private List<Outlier> FindOutliers()
    {
        lock (_gate)
        {
            if (_rules is not { } rules)
            {
                return [];
            }
            Array.Clear(_allTimes);
            var members = _pool.Snapshot.Members;
            List<(Backend Backend, double Share)> byShare = [];
            List<(Backend Backend, TimeSpan Median)> byTime = [];
            foreach (var member in members)
            {
                if (member.OutlierCounts is not { } counts)
                {
                    continue;
                }
                var (attempts, succeeded) = counts.Take(_times);
                double? share = attempts > 0 ? (double)succeeded / attempts : null;
                var (answers, median) = (_times.Sum(), TimeBuckets.Percentile(_times, 50));
                member.Outlier = new OutlierNumbers(attempts, share, median);
                if (!member.IsEligible)
                {
                    continue;
                }
                if (attempts >= rules.MinRequests)
                {
                    byShare.Add((member, share!.Value));
                }
                if (answers >= rules.MinRequests)
                {
                    byTime.Add((member, median!.Value));
                    for (var i = 0; i < _times.Length; i++)
                    {
                        _allTimes[i] += _times[i];
                    }
                }
            }
            var comparison = OutlierComparison.Of(
                rules, [.. byShare.Select(each => each.Share)], byTime.Count, TimeBuckets.Percentile(_allTimes, 50));
            _pool.Outliers = comparison.Numbers;

            _slow = byTime.Where(each => comparison.IsSlow(each.Median))
                .ToDictionary(each => each.Backend, each => _slow.GetValueOrDefault(each.Backend) + 1);
            var rare = byShare.Where(each => comparison.IsRare(each.Share)).OrderBy(each => each.Share)
                .Select(each => new Outlier(each.Backend, comparison.ReasonOf(each.Backend.Outlier!, isSlow: false), IsSlow: false));
            var slow = byTime.Where(each => _slow.GetValueOrDefault(each.Backend) >= SlowIntervals).OrderByDescending(each => each.Median)
                .Select(each => new Outlier(each.Backend, comparison.ReasonOf(each.Backend.Outlier!, isSlow: true), IsSlow: true));
            var most = Math.Max(1, (int)(rules.MaxShare * members.Length + 1e-9)); // 0.29 × 100 is 28.999…
            var room = most - members.Count(member => member.Health.IsOutAsOutlier);
            return [.. rare.Concat(slow).DistinctBy(outlier => outlier.Backend).Take(Math.Max(0, room))];
        }
    }

    [LoggerMessage(280, LogLevel.Error, "pool '{Pool}': outliers were not looked for in this interval; please report it")]
    private partial void LogFailed(Exception exception, string pool);

    private sealed record Outlier(Backend Backend, string Reason, bool IsSlow);
}
