namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// What outliers are found by: how the attempts at one backend ended, and how long its responses took to begin. Counting takes no lock;
/// what is counted while an interval ends is in one of the two.
/// </summary>
/// <param name="countServerErrors">Whether a response with a status of 500 or more is a failure.</param>
public sealed class OutlierCounts(bool countServerErrors)
{
    private readonly int[] _times = new int[TimeBuckets.Count];
    private int _attempts;
    private int _failures;
    private long _ejectedForFailures;
    private long _ejectedForTime;

    /// <summary>How often the backend was ejected because it succeeded too rarely.</summary>
    public long EjectedForFailures => Interlocked.Read(ref _ejectedForFailures);

    /// <summary>How often the backend was ejected because it answered too slowly.</summary>
    public long EjectedForTime => Interlocked.Read(ref _ejectedForTime);

    /// <summary>Counts an attempt that says something about the backend.</summary>
    public void CountAttempt(bool succeeded)
    {
        Interlocked.Increment(ref _attempts);
        if (!succeeded)
        {
            Interlocked.Increment(ref _failures);
        }
    }

    /// <summary>An attempt that was counted as succeeded had a response with this status.</summary>
    public void CountStatus(int status)
    {
        if (countServerErrors && status >= 500)
        {
            Interlocked.Increment(ref _failures);
        }
    }

    /// <summary>A response has begun after this time, or was given up after it.</summary>
    public void ObserveTime(TimeSpan elapsed) => Interlocked.Increment(ref _times[TimeBuckets.IndexOf(elapsed)]);

    /// <summary>Counts an ejection.</summary>
    public void CountEjection(bool forTime) => Interlocked.Increment(ref forTime ? ref _ejectedForTime : ref _ejectedForFailures);

    /// <summary>Ends an interval: returns what was counted in it, and begins with nothing.</summary>
    /// <param name="times">Gets how many times are in each of the <see cref="TimeBuckets"/>.</param>
    public (long Attempts, long Succeeded) Take(Span<long> times)
    {
        for (var i = 0; i < _times.Length; i++)
        {
            times[i] = _times[i] == 0 ? 0 : Interlocked.Exchange(ref _times[i], 0);
        }
        var (failures, attempts) = (Interlocked.Exchange(ref _failures, 0), Interlocked.Exchange(ref _attempts, 0));
        return (attempts, Math.Max(0, attempts - failures));
    }
}
