namespace LoadBalancer.Diagnostics;

/// <summary>Lets something be logged once in ten seconds at most. Thread-safe.</summary>
/// <param name="time">The clock.</param>
internal sealed class LogGate(TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private long _loggedAt = time.GetTimestamp() - (long)(Interval.TotalSeconds * time.TimestampFrequency);

    /// <summary>Whether it may be logged now; if so, not again for ten seconds.</summary>
    public bool TryPass()
    {
        var (before, now) = (Interlocked.Read(ref _loggedAt), time.GetTimestamp());
        return time.GetElapsedTime(before, now) >= Interval && Interlocked.CompareExchange(ref _loggedAt, now, before) == before;
    }
}
