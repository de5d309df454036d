namespace LoadBalancer.Pools.Statistics;

/// <summary>
/// What was relayed: how connections ended, and how many bytes passed. Each core has its own counters, as in
/// <see cref="AnswerStatistics"/>.
/// </summary>
public sealed class ConnectionStatistics
{
    private readonly Share?[] _shares = new Share?[Environment.ProcessorCount];

    /// <summary>How many bytes clients have sent.</summary>
    public long BytesIn => _shares.Sum(share => share is null ? 0 : Volatile.Read(ref share.BytesIn));

    /// <summary>How many bytes were sent to clients.</summary>
    public long BytesOut => _shares.Sum(share => share is null ? 0 : Volatile.Read(ref share.BytesOut));

    /// <summary>Counts bytes from a client.</summary>
    public void CountIn(int bytes) => Interlocked.Add(ref Own().BytesIn, bytes);

    /// <summary>Counts bytes to a client.</summary>
    public void CountOut(int bytes) => Interlocked.Add(ref Own().BytesOut, bytes);

    /// <summary>Counts a connection that has ended.</summary>
    public void Count(ConnectionEnd end) => Interlocked.Increment(ref Own().Ends[(int)end]);

    /// <summary>How many connections have ended, in this way.</summary>
    public long Ended(ConnectionEnd end) => _shares.Sum(share => share is null ? 0 : Volatile.Read(ref share.Ends[(int)end]));

    private Share Own()
    {
        var core = Thread.GetCurrentProcessorId() % _shares.Length;
        return _shares[core] ?? Interlocked.CompareExchange(ref _shares[core], new Share(), null) ?? _shares[core]!;
    }

    private sealed class Share
    {
        public readonly long[] Ends = new long[Enum.GetValues<ConnectionEnd>().Length];
        public long BytesIn;
        public long BytesOut;
    }
}
