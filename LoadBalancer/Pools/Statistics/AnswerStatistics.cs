namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// What was answered: how often with which status, and how long it took. Each core counts for itself, so that cores do not take the
/// same lines of memory from each other with every request; whoever wants to know adds them up.
/// </summary>
public sealed class AnswerStatistics
{
    private const int FirstCode = 100;
    private const int LastCode = 599;
    private const int OtherCode = 0;

    private readonly Share?[] _shares = new Share?[Environment.ProcessorCount];

    /// <summary>The upper bounds of the durations that are counted, in seconds; what took longer is counted too.</summary>
    public static IReadOnlyList<double> DurationBounds { get; } = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

    /// <summary>Counts an answer.</summary>
    /// <param name="status">Its status.</param>
    /// <param name="responseTime">Until its head was there.</param>
    /// <param name="duration">Until it had ended.</param>
    public void Count(int status, TimeSpan responseTime, TimeSpan duration)
    {
        var core = Thread.GetCurrentProcessorId() % _shares.Length;
        var share = _shares[core] ?? Interlocked.CompareExchange(ref _shares[core], new Share(), null) ?? _shares[core]!;
        Interlocked.Increment(ref share.Codes[status is >= FirstCode and <= LastCode ? status - FirstCode + 1 : OtherCode]);
        Interlocked.Increment(ref share.ResponseTimes[TimeBuckets.IndexOf(responseTime)]);
        Interlocked.Increment(ref share.Durations[DurationBucket(duration)]);
        Interlocked.Add(ref share.DurationTicks, duration.Ticks);
    }

    /// <summary>How many answers there were with each status, of those that there were any with; 0 stands for those outside 100 to 599.</summary>
    public IEnumerable<(int Code, long Count)> Codes() =>
        from i in Enumerable.Range(0, LastCode - FirstCode + 2)
        let count = Sum(share => share.Codes[i])
        where count > 0
        select (i == OtherCode ? 0 : i + FirstCode - 1, count);

    /// <summary>How many response times lie in each of <see cref="TimeBuckets"/>.</summary>
    public long[] ResponseTimes() => SumAll(share => share.ResponseTimes, TimeBuckets.Count);

    /// <summary>How many durations lie in each of the spaces between <see cref="DurationBounds"/>, and beyond the last; and their sum.</summary>
    public (long[] Counts, TimeSpan Sum) Durations() => (SumAll(share => share.Durations, DurationBounds.Count + 1), new TimeSpan(Sum(share => share.DurationTicks)));

    /// <summary>The place of a duration among <see cref="DurationBounds"/>: the first bound that it does not exceed, or the number of bounds.</summary>
    public static int DurationBucket(TimeSpan duration)
    {
        var (bucket, seconds) = (0, duration.TotalSeconds);
        while (bucket < DurationBounds.Count && seconds > DurationBounds[bucket])
        {
            bucket++;
        }
        return bucket;
    }

    private long Sum(Func<Share, long> part) => _shares.Sum(share => share is null ? 0 : part(share));

    private long[] SumAll(Func<Share, long[]> part, int length)
    {
        var sums = new long[length];
        foreach (var share in _shares.OfType<Share>())
        {
            for (var i = 0; i < length; i++)
            {
                sums[i] += Volatile.Read(ref part(share)[i]);
            }
        }
        return sums;
    }

    private sealed class Share
    {
        public readonly long[] Codes = new long[LastCode - FirstCode + 2];
        public readonly long[] ResponseTimes = new long[TimeBuckets.Count];
        public readonly long[] Durations = new long[DurationBounds.Count + 1];
        public long DurationTicks;
    }
}
