namespace LoadBalancer.Pools;

/// <summary>
/// How many leases each backend of a pool has out, side by side in memory: a policy that compares all of them reads one cache line for
/// sixteen backends, not one for each. Each backend has a slot that never moves, so that counting needs no lock while backends join and
/// leave.
/// </summary>
public sealed class InFlightCounts
{
    /// <summary>The most backends of a pool.</summary>
    public const int MaxSlots = 65_536;

    // The counts of one cache line.
    private const int Line = 16;

    // The system commits this memory only where it is touched.
    private readonly int[] _counts = new int[MaxSlots];
    private readonly Stack<int> _free = new();
    private int _used;

    /// <summary>
    /// The counts by slot. Empty slots are 0; the length is a multiple of sixteen, so that a vectorised reader has no remainder. The counts
    /// change while they are read.
    /// </summary>
    public ReadOnlySpan<int> All => _counts.AsSpan(0, (Volatile.Read(ref _used) + Line - 1) / Line * Line);

    /// <summary>The count of one slot.</summary>
    internal ref int this[int slot] => ref _counts[slot];

    /// <summary>Checks that so many slots are free.</summary>
    /// <exception cref="InvalidOperationException">There are <see cref="MaxSlots"/> backends already.</exception>
    internal void RequireSlots(int count)
    {
        if (_used - _free.Count + count > MaxSlots)
        {
            throw new InvalidOperationException($"a pool has room for {MaxSlots} backends");
        }
    }

    /// <summary>Takes a slot. Not thread-safe: the pool's lock is held.</summary>
    /// <exception cref="InvalidOperationException">There are <see cref="MaxSlots"/> backends already.</exception>
    internal int TakeSlot()
    {
        if (_free.TryPop(out var slot))
        {
            return slot;
        }
        if (_used == MaxSlots)
        {
            throw new InvalidOperationException($"a pool has room for {MaxSlots} backends");
        }
        Volatile.Write(ref _used, _used + 1);
        return _used - 1;
    }

    /// <summary>Gives back a slot in which no lease counts any more. Not thread-safe, as <see cref="TakeSlot"/>.</summary>
    internal void FreeSlot(int slot) => _free.Push(slot);
}
