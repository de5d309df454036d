namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// Remembers which signed datagrams have come, for as long as a copy of one could pass for new. Only what bears a valid mac is
/// remembered, so that a flood of anything else costs no memory; what holders of the key can fill is bounded: when it is full, the older
/// half is forgotten and nothing that was signed before its end is taken any more, rather than a copy of it.
/// </summary>
/// <remarks>
/// Two backends that say the same in the same millisecond send the same bytes, which programs started by one script do for minutes. So an
/// OK counts once for each backend from whose source it comes; from anywhere else it counts only if nobody has seen it.
/// </remarks>
/// <param name="time">The clock.</param>
/// <param name="most">How many are remembered in each half.</param>
internal sealed class ReplayMemory(TimeProvider time, int most = 1 << 16)
{
    /// <summary>Who said it: nobody in particular.</summary>
    public const int Anybody = 0;

    /// <summary>Who said it: the load balancer itself.</summary>
    public const int Ourselves = -1;

    // From the first moment at which it may be taken to the last.
    private static readonly TimeSpan Lifetime = TimeSpan.FromMilliseconds(2 * HeartbeatSignature.Window);

    private HashSet<(UInt128 Id, int Sender)> _older = [], _newer = [];
    private long _newest = long.MinValue;      // when the newest of the newer half was signed
    private long _olderNewest = long.MinValue; // of the older half
    private long _since = time.GetTimestamp(); // not the time of day, which may be put back
    private long _floor = long.MinValue;       // nothing that was signed at or before this is taken

    /// <summary>Takes in what was said.</summary>
    /// <param name="signed">What bears a valid mac.</param>
    /// <param name="sender">The backend from whose source it came, by a number above 0; <see cref="Anybody"/>, or <see cref="Ourselves"/>.</param>
    /// <returns>What is wrong with it; null where it was not said before.</returns>
    public HeartbeatResult? TakeIn(in SignedText signed, int sender)
    {
        Age();
        if (signed.At <= _floor)
        {
            return HeartbeatResult.Stale;
        }
        var isNew = Add(signed.Id, Anybody);
        if (sender == Anybody && !isNew || sender > 0 && (!Add(signed.Id, sender) || !isNew && Contains(signed.Id, Ourselves)))
        {
            return HeartbeatResult.Replayed;
        }
        if (sender == Ourselves)
        {
            Add(signed.Id, sender); // Our OK reads like a backend's.
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
            // It is forgotten before its time. Where the clock was put back since it was signed, what is signed from now on is not older for that.
            _floor = Math.Max(_floor, Math.Min(_olderNewest, time.GetUtcNow().ToUnixTimeMilliseconds() + HeartbeatSignature.Window));
        }
        (_older, _newer) = (_newer, _older);
        _newer.Clear();
        (_olderNewest, _newest, _since) = (_newest, long.MinValue, time.GetTimestamp());
    }

    private bool Contains(UInt128 id, int sender) => _newer.Contains((id, sender)) || _older.Contains((id, sender));

    private bool Add(UInt128 id, int sender) => !_older.Contains((id, sender)) && _newer.Add((id, sender));
}
