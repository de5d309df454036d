namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// Remembers which signed datagrams have arrived, for as long as a copy of one could be taken for new. Only datagrams with a valid mac
/// are remembered, so that a flood of others costs no memory. The memory is bounded: when it is full, the older half is forgotten, and
/// nothing that was signed before the end of that half is accepted any more, so that no copy of it is accepted either.
/// </summary>
/// <remarks>
/// Two backends that send the same text in the same millisecond send the same bytes, and programs started by one script do so for
/// minutes. So an OK counts once for each backend from whose source it comes; from any other source it counts only if it is new.
/// </remarks>
/// <param name="time">The clock.</param>
/// <param name="most">The capacity of each half, in datagrams.</param>
internal sealed class ReplayMemory(TimeProvider time, int most = 1 << 16)
{
    /// <summary>The sender is not known.</summary>
    public const int UnknownSender = 0;

    /// <summary>The sender is the load balancer itself.</summary>
    public const int Ourselves = -1;

    // From the first moment at which a datagram is accepted to the last one.
    private static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(2 * HeartbeatSignature.Window);

    private HashSet<(UInt128 Id, int Sender)> _older = [], _newer = [];
    private long _newest = long.MinValue;      // when the newest datagram of the newer half was signed
    private long _olderNewest = long.MinValue; // the same of the older half
    private long _since = time.GetTimestamp(); // a timestamp, because the time of day may be set back
    private long _floor = long.MinValue;       // nothing that was signed at or before this is accepted

    /// <summary>Remembers a datagram, unless it is a copy.</summary>
    /// <param name="signed">The datagram, whose mac is valid.</param>
    /// <param name="sender">The number (above 0) of the backend from whose source it came;
    /// <see cref="UnknownSender"/> or <see cref="Ourselves"/>.</param>
    /// <returns>What is wrong with it; null if it is new.</returns>
    public HeartbeatResult? TakeIn(in SignedText signed, int sender)
    {
        Age();
        if (signed.At <= _floor)
        {
            return HeartbeatResult.Stale;
        }
        var isNew = Add(signed.Id, UnknownSender);
        if (sender == UnknownSender && !isNew || sender > 0 && (!Add(signed.Id, sender) || !isNew && Contains(signed.Id, Ourselves)))
        {
            return HeartbeatResult.Replayed;
        }
        if (sender == Ourselves)
        {
            Add(signed.Id, sender); // An OK of ours looks like one of a backend.
        }
        _newest = Math.Max(_newest, signed.At);
        return null;
    }

    private void Age()
    {
        var isOld = time.GetElapsedTime(_since) >= Lifetime;
        if (_newer.Count < most && !isOld)
        {
            return;
        }
        if (!isOld)
        {
            // This half is forgotten early. If the clock was set back meanwhile, what is signed from now on must not be taken for older.
            var latest = time.GetUtcNow().ToUnixTimeMilliseconds() + HeartbeatSignature.Window;
            _floor = Math.Max(_floor, Math.Min(_olderNewest, latest));
        }
        (_older, _newer) = (_newer, _older);
        _newer.Clear();
        (_olderNewest, _newest, _since) = (_newest, long.MinValue, time.GetTimestamp());
    }

    private bool Contains(UInt128 id, int sender) => _newer.Contains((id, sender)) || _older.Contains((id, sender));

    private bool Add(UInt128 id, int sender) => !_older.Contains((id, sender)) && _newer.Add((id, sender));
}
