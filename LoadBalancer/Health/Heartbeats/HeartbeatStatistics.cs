namespace LoadBalancer.Health.Heartbeats;

/// <summary>What became of a datagram.</summary>
public enum HeartbeatResult
{
    /// <summary>A backend is there.</summary>
    Ok,

    /// <summary>A backend is there; what it said of its load was no number from 0 to 100.</summary>
    LoadIgnored,

    /// <summary>A backend made itself known.</summary>
    Registered,

    /// <summary>An OK from where no backend is known to be, which was asked to register.</summary>
    Auth,

    /// <summary>Another such, of so many that it got no answer.</summary>
    AuthWithheld,

    /// <summary>A registration that fits no backend.</summary>
    Unknown,

    /// <summary>Nothing that is understood.</summary>
    Malformed,

    /// <summary>More than <see cref="HeartbeatMessage.MostBytes"/>.</summary>
    TooLong,

    /// <summary>Not signed, or with another key.</summary>
    BadMac,

    /// <summary>Signed at another time than now.</summary>
    Stale,

    /// <summary>A copy of what has come before.</summary>
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

    /// <summary>How many were of no use.</summary>
    public long Refused => Results.Where(result => result > HeartbeatResult.Registered).Sum(result => this[result]);

    internal void Count(HeartbeatResult result) => Interlocked.Increment(ref _counts[(int)result]);
}
