namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// What was answered: how often with which status, and how long it took. Each core has counters of its own, so that cores do not take
/// the same cache lines from each other with every request; a reader adds them up.
/// </summary>
/// <param name="shares">How many such counters there are at most; fewer than cores: some cores share one.</param>
public sealed class AnswerStatistics(int shares)
{
    private const int FirstCode = 100;
    private const int LastCode = 599;
    private const int OtherCode = 0;

    private readonly Share?[] _shares = new Share?[shares];

    /// <summary>Makes counters for each core.</summary>
    public AnswerStatistics()
        : this(Environment.ProcessorCount)
    {
    }

    /// <summary>Whether nothing was counted.</summary>
    public bool IsEmpty => Array.TrueForAll(_shares, share => share is null);

    /// <summary>Counts an answer.</summary>
    /// <param name="status">Its status.</param>
    /// <param name="responseTime">Until its head had arrived.</param>
    /// <param name="duration">Until it had ended.</param>
    public void Count(int status, TimeSpan responseTime, TimeSpan duration)
    {
        var core = Thread.GetCurrentProcessorId() % _shares.Length;
        var share = _shares[core] ?? Interlocked.CompareExchange(ref _shares[core], new Share(), null) ?? _shares[core]!;
        Interlocked.Increment(ref share.Codes[status is >= FirstCode and <= LastCode ? status - FirstCode + 1 : OtherCode]);
        Interlocked.Increment(ref share.ResponseTimes[TimeBuckets.IndexOf(responseTime)]);
        share.Durations.Count(duration);
    }

    /// <summary>How many answers there were with each status that occurred; 0 stands for those outside 100 to 599.</summary>
    public IEnumerable<(int Code, long Count)> Codes() =>
        from i in Enumerable.Range(0, LastCode - FirstCode + 2)
        let count = Shares.Sum(share => Volatile.Read(ref share.Codes[i]))
        where count > 0
        select (i == OtherCode ? 0 : i + FirstCode - 1, count);

    /// <summary>How many response times are in each of the <see cref="TimeBuckets"/>.</summary>
    public long[] ResponseTimes()
    {
        var sums = new long[TimeBuckets.Count];
        foreach (var share in Shares)
        {
            for (var i = 0; i < sums.Length; i++)
            {
                sums[i] += Volatile.Read(ref share.ResponseTimes[i]);
            }
        }
        return sums;
    }

    /// <summary>How long answers took until they had ended.</summary>
    public DurationCounts Durations() => Shares.Aggregate(DurationCounts.None, (sum, share) => sum + share.Durations.Read());

    private IEnumerable<Share> Shares => _shares.OfType<Share>();

    private sealed class Share
    {
        public readonly long[] Codes = new long[LastCode - FirstCode + 2];
        public readonly long[] ResponseTimes = new long[TimeBuckets.Count];
        public readonly DurationHistogram Durations = new();
    }
}
