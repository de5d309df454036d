namespace LoadBalancer.Health.Heartbeats;

/// <summary>What became of a datagram. In metrics the names are in snake case.</summary>
public enum HeartbeatResult
{
    /// <summary>A sign of life of a backend.</summary>
    Ok,

    /// <summary>A sign of life of a backend, whose load was no number from 0 to 100 and was ignored.</summary>
    LoadIgnored,

    /// <summary>A backend has registered.</summary>
    Registered,

    /// <summary>An OK from a source that belongs to no backend; it was answered AUTH.</summary>
    Auth,

    /// <summary>The same, but there were too many to answer this one.</summary>
    AuthWithheld,

    /// <summary>A registration that fits no backend.</summary>
    Unknown,

    /// <summary>Not a heartbeat and not a registration.</summary>
    Malformed,

    /// <summary>More than <see cref="HeartbeatMessage.MaxBytes"/>.</summary>
    TooLong,

    /// <summary>Not signed, or with another key.</summary>
    BadMac,

    /// <summary>Signed too long ago, or in the future.</summary>
    Stale,

    /// <summary>A copy of an earlier one.</summary>
    Replayed,
}

/// <summary>Counts the datagrams of a pool by what became of them.</summary>
public sealed class HeartbeatStatistics
{
    private static readonly HeartbeatResult[] Results = Enum.GetValues<HeartbeatResult>();

    private readonly long[] _counts = new long[Results.Length];

    /// <summary>How many there were of each.</summary>
    public IReadOnlyList<(HeartbeatResult Result, long Count)> Counts => [.. Results.Select(result => (result, this[result]))];

    /// <summary>How many there were of one.</summary>
    public long this[HeartbeatResult result] => Interlocked.Read(ref _counts[(int)result]);

    /// <summary>How many were dropped.</summary>
    public long Refused => Results.Where(result => result > HeartbeatResult.Registered).Sum(result => this[result]);

    internal void Count(HeartbeatResult result) => Interlocked.Increment(ref _counts[(int)result]);
}
