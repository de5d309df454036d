using System.Numerics;
using System.Runtime.CompilerServices;

namespace LoadBalancer.Pools;

/// <summary>
/// How long a backend takes to answer by how much it has in flight: a moving average for each power of two, in seconds. What it knows is
/// worth little when there was no sample for half a minute: then <see cref="TryBeginTrial"/> forgets it. Takes no lock: a sample that
/// arrives in the same instant as another may be lost.
/// </summary>
public sealed class ExpectedTimes
{
    private const int Entries = 8;
    private const float Part = 1 / 8f; // of the difference, that a sample changes
    private const int MemoryMilliseconds = 30_000;

    private Table _table; // seconds; 0: unknown
    private uint _last; // milliseconds on the clock: the last sample or the last trial

    /// <summary>Nothing is known yet.</summary>
    /// <param name="now">The time, see <see cref="Milliseconds"/>.</param>
    public ExpectedTimes(uint now) => _last = now - MemoryMilliseconds;

    /// <summary>The time of this clock for <see cref="TryBeginTrial"/>. It overflows after 49 days, which does no harm.</summary>
    public static uint Milliseconds(TimeProvider time) => (uint)(long)time.GetElapsedTime(0).TotalMilliseconds;

    /// <summary>The entry for so much in flight: ⌊log2(count + 1)⌋, 7 at the most.</summary>
    public static int Entry(int inFlight) => Math.Min(Entries - 1, BitOperations.Log2((uint)Math.Max(0, inFlight) + 1));

    /// <summary>
    /// The expected time in seconds of one more beside so many. Where there was none under such load, that of the nearest load that is
    /// known. 0 where nothing is known.
    /// </summary>
    public float Seconds(int inFlight)
    {
        var entry = Entry(inFlight);
        return _table[entry] is > 0 and var known ? known : Nearest(entry);
    }

    /// <summary>Takes in how long one answer took.</summary>
    /// <param name="entry">The <see cref="Entry"/> for what was in flight when the request was sent.</param>
    /// <param name="seconds">The time.</param>
    /// <param name="now">The time now, see <see cref="Milliseconds"/>.</param>
    public void Observe(int entry, double seconds, uint now)
    {
        var sample = (float)Math.Max(seconds, 1e-6);
        ref var known = ref _table[entry];
        known = known > 0 ? known + (sample - known) * Part : sample;
        _last = now;
    }

    /// <summary>The same for an answer that was not awaited: it would have taken at least as long.</summary>
    public void ObserveAtLeast(int entry, double seconds, uint now)
    {
        if (seconds > _table[entry])
        {
            Observe(entry, seconds, now);
        }
    }

    /// <summary>Whether there was neither a sample nor a trial for half a minute.</summary>
    /// <param name="now">The time now, see <see cref="Milliseconds"/>; one a little before the last is that of another thread.</param>
    public bool IsOld(uint now) => (int)(now - _last) is not (> -MemoryMilliseconds and < MemoryMilliseconds);

    /// <summary>Whether what is known <see cref="IsOld"/>. If so, all is forgotten, and the backend is to get one request.</summary>
    /// <param name="now">As there.</param>
    public bool TryBeginTrial(uint now)
    {
        if (!IsOld(now))
        {
            return false;
        }
        _last = now;
        _table = default;
        return true;
    }

    private float Nearest(int entry)
    {
        for (var distance = 1; distance < Entries; distance++)
        {
            if (entry - distance >= 0 && _table[entry - distance] is > 0 and var lower)
            {
                return lower;
            }
            if (entry + distance < Entries && _table[entry + distance] is > 0 and var higher)
            {
                return higher;
            }
        }
        return 0;
    }

    [InlineArray(Entries)]
    private struct Table
    {
        private float _first;
    }
}
