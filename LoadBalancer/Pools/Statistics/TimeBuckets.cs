namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// Buckets for times, ninety for each power of ten: what falls into one is known to two digits. From a microsecond to a hundred seconds;
/// what takes longer is in the last.
/// </summary>
public static class TimeBuckets
{
    private const int FirstDecade = 100;  // below 100 µs one bucket for each
    private const int PerDecade = 90;     // 100..109, 110..119, …, 990..999
    private const long Longest = 100_000_000;

    /// <summary>How many there are.</summary>
    public const int Count = FirstDecade + 6 * PerDecade;

    /// <summary>The bucket of a time. A bucket holds times above its lower and up to its upper bound.</summary>
    public static int IndexOf(TimeSpan time)
    {
        var microseconds = (time.Ticks - 1) / TimeSpan.TicksPerMicrosecond;
        if (microseconds >= Longest)
        {
            return Count - 1;
        }
        var index = 0;
        while (microseconds >= FirstDecade)
        {
            microseconds /= 10;
            index += PerDecade;
        }
        return microseconds < 0 ? 0 : index + (int)microseconds;
    }

    /// <summary>The longest time that a bucket holds.</summary>
    public static TimeSpan UpperBound(int index)
    {
        var decades = Math.Max(0, (index - FirstDecade) / PerDecade + 1);
        if (index < FirstDecade)
        {
            return TimeSpan.FromMicroseconds(index + 1);
        }
        return TimeSpan.FromMicroseconds((index - decades * PerDecade + 1) * Math.Pow(10, decades));
    }

    /// <summary>A percentile: the time within which so many in a hundred lie.</summary>
    /// <param name="counts">How many lie in each bucket.</param>
    /// <param name="percentile">Above 0, to 100.</param>
    /// <returns>The upper bound of the bucket in which it lies; null where there is nothing.</returns>
    public static TimeSpan? Percentile(ReadOnlySpan<long> counts, double percentile)
    {
        var total = 0L;
        foreach (var count in counts)
        {
            total += count;
        }
        var left = (long)Math.Ceiling(total * percentile / 100);
        for (var i = 0; i < counts.Length && total > 0; i++)
        {
            left -= counts[i];
            if (left <= 0)
            {
                return UpperBound(i);
            }
        }
        return null;
    }
}
