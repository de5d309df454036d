using System.Numerics;

namespace LoadBalancer.Pools;

/// <summary>
/// How long answers took in the last ten to twenty seconds, as a histogram whose buckets are an eighth of a power of two wide: a
/// percentile is at most 12 % too large. Counting takes no lock; what is counted in the very moment in which the older half is
/// dropped may be lost.
/// </summary>
public sealed class RecentTimes
{
    private const int Steps = 8; // buckets for each power of two
    private const int Buckets = 32 * Steps; // up to 2^32 microseconds, more than an hour

    private static readonly TimeSpan HalfLife = TimeSpan.FromSeconds(10);

    private readonly TimeProvider _time;
    private int[] _current = new int[Buckets];
    private int[] _before = new int[Buckets];
    private long _since;

    /// <summary>Makes an empty histogram.</summary>
    public RecentTimes(TimeProvider time) => (_time, _since) = (time, time.GetTimestamp());

    /// <summary>Counts one answer.</summary>
    public void Observe(TimeSpan elapsed)
    {
        Turn();
        Interlocked.Increment(ref Volatile.Read(ref _current)[Bucket((ulong)Math.Max(0, elapsed.Ticks / TimeSpan.TicksPerMicrosecond))]);
    }

    /// <summary>The time within which so many in a hundred were answered; null where there were fewer than <paramref name="least"/> answers.</summary>
    public TimeSpan? Percentile(double percentile, int least)
    {
        Turn();
        var (current, before) = (Volatile.Read(ref _current), Volatile.Read(ref _before));
        var total = current.Sum(count => (long)count) + before.Sum(count => (long)count);
        if (total < least || total == 0)
        {
            return null;
        }
        var left = (long)Math.Ceiling(total * percentile / 100);
        var bucket = 0;
        while ((left -= current[bucket] + before[bucket]) > 0 && bucket < Buckets - 1)
        {
            bucket++;
        }
        return TimeSpan.FromMicroseconds(UpperBound(bucket));
    }

    // Below 8 µs a bucket for each; from there on the three bits after the first one tell the step within its power of two.
    private static int Bucket(ulong microseconds)
    {
        if (microseconds < Steps)
        {
            return (int)microseconds;
        }
        var power = BitOperations.Log2(microseconds);
        return Math.Min((power - 2) * Steps + (int)(microseconds >> (power - 3)) - Steps, Buckets - 1);
    }

    private static double UpperBound(int bucket) =>
        bucket < Steps ? bucket + 1 : (double)((ulong)(bucket % Steps + Steps + 1) << (bucket / Steps - 1));

    private void Turn()
    {
        var (since, now) = (Volatile.Read(ref _since), _time.GetTimestamp());
        var elapsed = _time.GetElapsedTime(since, now);
        if (elapsed >= HalfLife && Interlocked.CompareExchange(ref _since, now, since) == since)
        {
            Volatile.Write(ref _before, elapsed >= 2 * HalfLife ? new int[Buckets] : _current);
            Volatile.Write(ref _current, new int[Buckets]);
        }
    }
}
