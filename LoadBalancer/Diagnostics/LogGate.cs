namespace LoadBalancer.Diagnostics;

/// <summary>Lets something be told every ten seconds at most.</summary>
/// <param name="time">The clock.</param>
internal sealed class LogGate(TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private long _toldAt = time.GetTimestamp() - (long)(Interval.TotalSeconds * time.TimestampFrequency);

    /// <summary>Whether it may be told now; if so, not again for a while.</summary>
    public bool TryPass()
    {
        var (before, now) = (Interlocked.Read(ref _toldAt), time.GetTimestamp());
        return time.GetElapsedTime(before, now) >= Interval && Interlocked.CompareExchange(ref _toldAt, now, before) == before;
    }
}
