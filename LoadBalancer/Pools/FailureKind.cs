namespace LoadBalancer.Pools;

/// <summary>Why an attempt at a backend failed through its fault.</summary>
public enum FailureKind
{
    /// <summary>No connection could be opened: refused, no address, or no TLS.</summary>
    Connect,

    /// <summary>The connection was not accepted in time, or no answer came in time.</summary>
    Timeout,

    /// <summary>The connection ended before the answer began.</summary>
    Reset,

    /// <summary>What came is not valid in the protocol.</summary>
    Malformed,

    /// <summary>The answer had begun and did not end: the connection ended, or nothing more came.</summary>
    Incomplete,
}
