namespace LoadBalancer.Diagnostics;

/// <summary>Counts what happened in each minute of the last hour. Not safe for several threads at once.</summary>
internal sealed class MinuteCounts
{
    /// <summary>How many minutes are remembered.</summary>
    public const int Minutes = 60;

    private readonly int[] _counts = new int[Minutes];
    private long _newest;

    /// <summary>Counts. What is older than the newest minute, because the clock was set back, is counted in that.</summary>
    public void Add(DateTimeOffset time, long count)
    {
        Advance(MinuteOf(time));
        _counts[_newest % Minutes] += (int)count;
    }

    /// <summary>How much was counted in the last minutes, of which the present one is the last.</summary>
    public long Sum(DateTimeOffset now, int minutes)
    {
        Advance(MinuteOf(now));
        var sum = 0L;
        for (var minute = _newest - minutes + 1; minute <= _newest; minute++)
        {
            sum += _counts[minute % Minutes];
        }
        return sum;
    }

    private static long MinuteOf(DateTimeOffset time) => time.ToUnixTimeSeconds() / 60;

    private void Advance(long minute)
    {
        if (_newest == 0)
        {
            _newest = minute;
        }
        for (var next = Math.Max(_newest + 1, minute - Minutes + 1); next <= minute; next++)
        {
            _counts[next % Minutes] = 0;
        }
        _newest = Math.Max(_newest, minute);
    }
}
