namespace LoadBalancer.Zmtp;

/// <summary>The counters of a socket.</summary>
public sealed class ZmtpStatistics
{
    private readonly long[] _faults = new long[Enum.GetValues<ZmtpFault>().Length];
    private long _handshakes;
    private long _dropped;

    /// <summary>How many peers have finished the handshake.</summary>
    public long Handshakes => Interlocked.Read(ref _handshakes);

    /// <summary>How many messages were dropped: a peer had too many waiting or was gone, or nothing here received them.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>How many peers were disconnected for this reason.</summary>
    public long Faults(ZmtpFault fault) => Interlocked.Read(ref _faults[(int)fault]);

    internal void CountHandshake() => Interlocked.Increment(ref _handshakes);

    internal void CountDropped() => Interlocked.Increment(ref _dropped);

    internal void Count(ZmtpFault fault) => Interlocked.Increment(ref _faults[(int)fault]);
}
