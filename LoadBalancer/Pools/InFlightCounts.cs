namespace LoadBalancer.Pools;

/// <summary>
/// How many leases each backend of a pool has out, side by side in memory: a policy that compares all of them reads a cache line for
/// sixteen backends, not one for each. A place never moves, so that counting needs no lock while backends come and go.
/// </summary>
public sealed class InFlightCounts
{
    /// <summary>How many backends a pool may have.</summary>
    public const int MostPlaces = 65_536;

    // A cache line of counts.
    private const int Line = 16;

    // Memory that is never touched is never taken from the system.
    private readonly int[] _counts = new int[MostPlaces];
    private readonly Stack<int> _free = new();
    private int _used;

    /// <summary>
    /// The counts by place, those of places that are empty included, which are 0; a multiple of sixteen, so that whoever reads many at
    /// a time has no rest. They change while they are read.
    /// </summary>
    public ReadOnlySpan<int> All => _counts.AsSpan(0, (Volatile.Read(ref _used) + Line - 1) / Line * Line);

    /// <summary>The count of one place.</summary>
    internal ref int this[int place] => ref _counts[place];

    /// <summary>Makes sure that so many places can be taken.</summary>
    /// <exception cref="InvalidOperationException">There are <see cref="MostPlaces"/> backends already.</exception>
    internal void RequirePlaces(int count)
    {
        if (_used - _free.Count + count > MostPlaces)
        {
            throw new InvalidOperationException($"a pool has room for {MostPlaces} backends");
        }
    }

    /// <summary>Takes a place. Not safe for several threads at once: membership changes one at a time.</summary>
    /// <exception cref="InvalidOperationException">There are <see cref="MostPlaces"/> backends already.</exception>
    internal int TakePlace()
    {
        if (_free.TryPop(out var place))
        {
            return place;
        }
        if (_used == MostPlaces)
        {
            throw new InvalidOperationException($"a pool has room for {MostPlaces} backends");
        }
        Volatile.Write(ref _used, _used + 1);
        return _used - 1;
    }

    /// <summary>Gives a place back that nobody counts at any more.</summary>
    internal void LeavePlace(int place) => _free.Push(place);
}
