namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// Keeps retries from making an outage worse: only a share of the requests of the last ten seconds may be retries, but ten always may.
/// Counted in slots of one second.
/// </summary>
public sealed class RetryBudget(double share, TimeProvider time)
{
    private const int WindowSeconds = 10;
    private const int AlwaysAllowed = 10;

    private readonly Slot[] _slots = [.. Enumerable.Range(0, WindowSeconds).Select(_ => new Slot())];

    /// <summary>Counts a request of a client.</summary>
    public void CountRequest() => Interlocked.Increment(ref CurrentSlot().Requests);

    /// <summary>Takes one retry from the budget.</summary>
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

    // The first thread in a new second empties its slot. A count that another thread adds at that moment may be lost: the budget need
    // not be exact.
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
