namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// Keeps retries from multiplying an outage: of the requests of the last ten seconds, only a share may be retries, and at least ten
/// always may. Counted in one-second slots.
/// </summary>
public sealed class RetryBudget(double share, TimeProvider time)
{
    private const int WindowSeconds = 10;
    private const int AlwaysAllowed = 10;

    private readonly Slot[] _slots = [.. Enumerable.Range(0, WindowSeconds).Select(_ => new Slot())];

    /// <summary>Counts a request that came from a client.</summary>
    public void CountRequest() => Interlocked.Increment(ref CurrentSlot().Requests);

    /// <summary>Takes one retry out of the budget.</summary>
    /// <returns>Whether there was one left.</returns>
    public bool TryTakeRetry()
    {
        var current = CurrentSlot();
        var oldest = current.Second - WindowSeconds + 1;
        var (requests, retries) = (0L, 0L);
        foreach (var slot in _slots)
        {
            if (Volatile.Read(ref slot.Second) >= oldest)
            {
                requests += Volatile.Read(ref slot.Requests);
                retries += Volatile.Read(ref slot.Retries);
            }
        }
        if (retries >= Math.Max(AlwaysAllowed, share * requests))
        {
            return false;
        }
        Interlocked.Increment(ref current.Retries);
        return true;
    }

    // Whoever enters a new second first empties its slot. A count that another thread adds in that very moment may be lost; a
    // budget need not be exact.
    private Slot CurrentSlot()
    {
        var second = time.GetTimestamp() / time.TimestampFrequency;
        var slot = _slots[second % WindowSeconds];
        var seen = Volatile.Read(ref slot.Second);
        if (seen != second && Interlocked.CompareExchange(ref slot.Second, second, seen) == seen)
        {
            Volatile.Write(ref slot.Requests, 0);
            Volatile.Write(ref slot.Retries, 0);
        }
        return slot;
    }

    private sealed class Slot
    {
        public long Second = -WindowSeconds;
        public long Requests;
        public long Retries;
    }
}
