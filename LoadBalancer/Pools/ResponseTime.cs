namespace LoadBalancer.Pools;

/// <summary>
/// How long a backend takes to answer: a peak-sensitive, exponentially weighted moving average (Finagle's <c>peak_ewma</c>). A
/// longer time counts at once, shorter ones pull it down slowly; and it fades while nothing is heard, so that a backend that was slow
/// once is tried again some day. Takes no lock: a sample that arrives in the same instant as another may be lost.
/// </summary>
public sealed class ResponseTime(TimeProvider time)
{
    // Within this time an old sample loses about two thirds of its weight.
    private const double DecaySeconds = 10;

    private readonly long _start = time.GetTimestamp();
    private long _state; // upper half: milliseconds since the start; lower half: seconds, as a float. 0: nothing is known.

    /// <summary>The average in seconds, faded by now; 0 where nothing is known.</summary>
    public double Seconds
    {
        get
        {
            var state = Volatile.Read(ref _state);
            return state == 0 ? 0 : Average(state) * Fading(state, Now());
        }
    }

    /// <summary>Takes in how long one answer took.</summary>
    public void Observe(TimeSpan sample)
    {
        var seconds = Math.Max(sample.TotalSeconds, 1e-6);
        var (before, now) = (Volatile.Read(ref _state), Now());
        if (before != 0 && Average(before) is var average && average > seconds)
        {
            // Many answers within a short time say little more than one: what counts is the time between them.
            var kept = Fading(before, now);
            seconds = average * kept + seconds * (1 - kept);
        }
        var after = (long)now << 32 | BitConverter.SingleToUInt32Bits((float)seconds);
        Interlocked.CompareExchange(ref _state, after, before);
    }

    private static double Average(long state) => BitConverter.UInt32BitsToSingle((uint)state);

    // The difference of two 32-bit times is right across an overflow, after 49 days.
    private static double Fading(long state, uint now) => Math.Exp(-(now - (uint)(state >>> 32)) / (1000 * DecaySeconds));

    private uint Now() => (uint)time.GetElapsedTime(_start).TotalMilliseconds;
}
