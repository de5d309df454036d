namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// How long answers took in the last ten to twenty seconds, as a histogram of <see cref="TimeBuckets"/>. Counting takes no lock; what
/// is counted in the instant in which the older half is dropped may be lost.
/// </summary>
public sealed class RecentTimes
{
    private static readonly TimeSpan HalfLife = TimeSpan.FromSeconds(10);

    private readonly TimeProvider _time;
    private long[] _current = new long[TimeBuckets.Count];
    private long[] _before = new long[TimeBuckets.Count];
    private long _since;

    /// <summary>Makes an empty histogram.</summary>
    public RecentTimes(TimeProvider time) => (_time, _since) = (time, time.GetTimestamp());

    /// <summary>Counts one answer.</summary>
    public void Observe(TimeSpan elapsed)
    {
        DropOld();
        Interlocked.Increment(ref Volatile.Read(ref _current)[TimeBuckets.IndexOf(elapsed)]);
    }

    /// <summary>A percentile of the recent times.</summary>
    /// <param name="percentile">Above 0, to 100.</param>
    /// <param name="least">How many answers there must be.</param>
    /// <returns>The time within which so many in a hundred were answered; null where there were fewer answers.</returns>
    public TimeSpan? Percentile(double percentile, int least)
    {
        DropOld();
        var (current, before) = (Volatile.Read(ref _current), Volatile.Read(ref _before));
        var both = current.Zip(before, (a, b) => a + b).ToArray();
        return both.Sum() < least ? null : TimeBuckets.Percentile(both, percentile);
    }

    private void DropOld()
    {
        var (since, now) = (Volatile.Read(ref _since), _time.GetTimestamp());
        var elapsed = _time.GetElapsedTime(since, now);
        if (elapsed >= HalfLife && Interlocked.CompareExchange(ref _since, now, since) == since)
        {
            Volatile.Write(ref _before, elapsed >= 2 * HalfLife ? new long[TimeBuckets.Count] : _current);
            Volatile.Write(ref _current, new long[TimeBuckets.Count]);
        }
    }
}
