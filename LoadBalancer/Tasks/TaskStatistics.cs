using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Tasks;

/// <summary>Durations in the buckets of <see cref="AnswerStatistics.DurationBounds"/>. Not safe for several writers at once.</summary>
internal sealed class DurationHistogram
{
    private readonly long[] _counts = new long[AnswerStatistics.DurationBounds.Count + 1];
    private long _ticks;

    /// <summary>Counts one.</summary>
    public void Count(TimeSpan duration)
    {
        var bucket = AnswerStatistics.DurationBucket(duration);
        Volatile.Write(ref _counts[bucket], _counts[bucket] + 1);
        Volatile.Write(ref _ticks, _ticks + duration.Ticks);
    }

    /// <summary>How many lie in each of the spaces between the bounds, and beyond the last; and their sum.</summary>
    public (long[] Counts, TimeSpan Sum) Read() => ([.. _counts], new TimeSpan(Volatile.Read(ref _ticks)));
}
