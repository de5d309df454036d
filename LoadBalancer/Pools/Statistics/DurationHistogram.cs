namespace LoadBalancer.Pools.Statistics;

/// <summary>Counts durations in buckets, as a histogram of Prometheus does. Any thread may count; no lock is taken.</summary>
public sealed class DurationHistogram
{
    // As an array, because the search is on the way of every request.
    private static readonly double[] UpperBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

    private readonly long[] _counts = new long[UpperBounds.Length + 1];
    private long _ticks;

    /// <summary>The upper bounds of the buckets, in seconds, inclusive. One more bucket holds what took longer than the last.</summary>
    public static IReadOnlyList<double> Bounds => UpperBounds;

    /// <summary>Counts one duration.</summary>
    public void Count(TimeSpan duration)
    {
        var (bucket, seconds) = (0, duration.TotalSeconds);
        while (bucket < UpperBounds.Length && seconds > UpperBounds[bucket])
        {
            bucket++;
        }
        Interlocked.Increment(ref _counts[bucket]);
        Interlocked.Add(ref _ticks, duration.Ticks);
    }

    /// <summary>What was counted until now.</summary>
    public DurationCounts Read()
    {
        var counts = new long[_counts.Length];
        for (var i = 0; i < counts.Length; i++)
        {
            counts[i] = Interlocked.Read(ref _counts[i]);
        }
        return new DurationCounts(counts, new TimeSpan(Interlocked.Read(ref _ticks)));
    }
}

/// <summary>What a <see cref="DurationHistogram"/> has counted.</summary>
/// <param name="Buckets">How many durations are in each bucket (not cumulative); the last holds those beyond the last bound.</param>
/// <param name="Sum">All durations together.</param>
public readonly record struct DurationCounts(long[] Buckets, TimeSpan Sum)
{
    /// <summary>Nothing counted.</summary>
    public static DurationCounts None => new(new long[DurationHistogram.Bounds.Count + 1], TimeSpan.Zero);

    /// <summary>The counts of two histograms together.</summary>
    public static DurationCounts operator +(DurationCounts one, DurationCounts other) =>
        new([.. one.Buckets.Zip(other.Buckets, (a, b) => a + b)], one.Sum + other.Sum);
}
