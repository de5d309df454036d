using System.Security.Cryptography;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Guards.Rates;

/// <summary>
/// Rates of many keys in a table that never grows, by the generic cell rate algorithm (ITU-T I.371): for each key it holds the time at
/// which all that was taken is given back. The framework's partitioned limiter takes 120 bytes for a key and two to three times as long.
/// </summary>
internal sealed class RateTable
{
    private const int Ways = 8; // A key can be in this many places.
    private const int Gates = 64;

    private readonly TimeProvider _time;
    private readonly double _window; // for all permits, in ticks of the clock
    private readonly int _permits;
    private readonly int _permitsAtOnce;
    private volatile Rate _rate; // read once for each request
    private readonly Cell[] _cells;
    private readonly Lock[] _gates = [.. Enumerable.Range(0, Gates).Select(_ => new Lock())];

    // So that nobody can find keys that share their places.
    private readonly ulong _seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));

    /// <summary>Makes an empty table.</summary>
    /// <param name="permits">How many permits come back in each window.</param>
    /// <param name="window">The window.</param>
    /// <param name="burst">How many can be taken at once.</param>
    /// <param name="maxKeys">How many keys are remembered.</param>
    /// <param name="time">The clock.</param>
    public RateTable(int permits, TimeSpan window, int burst, int maxKeys, TimeProvider time)
    {
        (_time, _permits, _permitsAtOnce, _window) = (time, permits, burst, window.TotalSeconds * time.TimestampFrequency);
        _rate = RateFor(1);
        _cells = new Cell[(maxKeys + Ways - 1) / Ways * Ways];
    }

    /// <summary>Takes a permit.</summary>
    /// <param name="key">Whose it is.</param>
    /// <param name="retryAfter">When there is one again, where there is none now.</param>
    /// <returns>Whether there was one. If not, nothing was taken.</returns>
    public bool TryTake(ulong key, out TimeSpan retryAfter)
    {
        var set = (int)(ClientHash.Mix(key ^ _seed) % (ulong)(_cells.Length / Ways));
        var now = _time.GetTimestamp();
        var rate = _rate;
        lock (_gates[set % Gates])
        {
            ref var cell = ref FindNeedsLock(_cells.AsSpan(set * Ways, Ways), key);
            var full = Math.Max(cell.FullAt, now) + rate.Interval;
            var excess = full - now - rate.Burst;
            if (excess > 0)
            {
                retryAfter = TimeSpan.FromSeconds((double)excess / _time.TimestampFrequency);
                return false;
            }
            cell.FullAt = full;
        }
        retryAfter = default;
        return true;
    }

    /// <summary>Gives out only the part of one of so many nodes; at least one permit in each window, and one at once.</summary>
    public void Share(int nodes) => _rate = RateFor(nodes);

    private Rate RateFor(int nodes)
    {
        var interval = Math.Max(1, (long)(_window / Math.Max(1, _permits / (double)nodes)));
        // A hundred years of a clock in nanoseconds are less.
        return new Rate(interval, (long)Int128.Min((Int128)interval * Math.Max(1, _permitsAtOnce / nodes), long.MaxValue / 4));
    }

    // A key that is not there takes the place of the one that has been full for the longest time.
    private static ref Cell FindNeedsLock(Span<Cell> set, ulong key)
    {
        var oldest = 0;
        for (var i = 0; i < set.Length; i++)
        {
            if (set[i].Key == key && set[i].IsUsed)
            {
                return ref set[i];
            }
            oldest = set[i].FullAt < set[oldest].FullAt ? i : oldest;
        }
        set[oldest] = new Cell { Key = key, IsUsed = true };
        return ref set[oldest];
    }

    /// <param name="Interval">For one permit, in ticks of the clock.</param>
    /// <param name="Burst">For all that can be taken at once.</param>
    private sealed record Rate(long Interval, long Burst);

    private struct Cell
    {
        public ulong Key;
        public long FullAt;
        public bool IsUsed;
    }
}
