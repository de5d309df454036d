namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// How long a backend takes to answer: a peak-sensitive, exponentially weighted moving average (Finagle's <c>peak_ewma</c>). A
/// longer time counts at once, shorter ones pull it down slowly; and it fades while there are no answers, so that a backend that was slow
/// once is tried again. Takes no lock: a sample that arrives in the same instant as another may be lost.
/// </summary>
public sealed class ResponseTime(TimeProvider time)
{
    // Within this time an old sample loses about two thirds of its weight.
    private const int DecayMilliseconds = 10_000;

    // An average that is older than another by this is not compared with it: faded to a twentieth, it would promise an answer in no time.
    private const int MemoryMilliseconds = 3 * DecayMilliseconds;

    private long _state; // upper half: milliseconds on the clock; lower half: seconds, as a float. 0: nothing is known.

    /// <summary>The average in seconds, faded by now; 0 where nothing is known.</summary>
    public double Seconds
    {
        get
        {
            var state = Volatile.Read(ref _state);
            return state == 0 ? 0 : Average(state) * FadingSince(state, Now());
        }
    }

    /// <summary>Takes in how long one answer took.</summary>
    public void Observe(TimeSpan sample)
    {
        var seconds = Math.Max(sample.TotalSeconds, 1e-6);
        var (before, now) = (Volatile.Read(ref _state), Now());
        if (before != 0)
        {
            // Many answers within a short time say little more than one, so the weight of the old average depends on the time between them.
            // It is faded first: else a backend that was slow once would get back to its share in ever smaller steps.
            var kept = FadingSince(before, now);
            var faded = Average(before) * kept;
            seconds = seconds < faded ? faded * kept + seconds * (1 - kept) : seconds;
        }
        var after = (long)now << 32 | BitConverter.SingleToUInt32Bits((float)seconds);
        Interlocked.CompareExchange(ref _state, after, before);
    }

    /// <summary>
    /// This time divided by another one of the same clock, both faded by now. That needs no look at the clock, because both fade alike.
    /// 0 where only the other is known, infinity where only this one is, 1 where neither is. One that is much older counts as not known.
    /// </summary>
    internal double RelativeTo(ResponseTime other)
    {
        var (mine, others) = (Volatile.Read(ref _state), Volatile.Read(ref other._state));
        if (mine == 0 || others == 0)
        {
            return mine != 0 ? double.PositiveInfinity : others != 0 ? 0 : 1;
        }
        return Age(mine, Milliseconds(others)) switch
        {
            > MemoryMilliseconds => 0,
            < -MemoryMilliseconds => double.PositiveInfinity,
            0 => Average(mine) / Average(others),
            var older => Average(mine) / Average(others) * Fading(older),
        };
    }

    private static double Average(long state) => BitConverter.UInt32BitsToSingle((uint)state);

    private static uint Milliseconds(long state) => (uint)(state >>> 32);

    // The difference of two 32-bit times is right across an overflow, for 24 days.
    private static int Age(long state, uint now) => (int)(now - Milliseconds(state));

    private static double Fading(int milliseconds) => Math.Exp(-milliseconds / (double)DecayMilliseconds);

    // An age a little below 0 is that of another thread's later sample; one far below 0 is more than 24 days.
    private static double FadingSince(long state, uint now) =>
        Age(state, now) is var age && age < -DecayMilliseconds ? 0 : Fading(Math.Max(0, age));

    private uint Now() => (uint)(long)time.GetElapsedTime(0).TotalMilliseconds;
}
