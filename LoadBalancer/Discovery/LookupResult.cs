namespace LoadBalancer.Discovery;

/// <summary>How a lookup has ended, as metrics name it.</summary>
internal enum LookupResult
{
    /// <summary>There is an answer.</summary>
    Success,

    /// <summary>There is no such name.</summary>
    Nxdomain,

    /// <summary>The name has no address and no server.</summary>
    Empty,

    /// <summary>The server could not find out.</summary>
    Servfail,

    /// <summary>The server does not want to answer.</summary>
    Refused,

    /// <summary>No answer came in time.</summary>
    Timeout,

    /// <summary>The answer makes no sense.</summary>
    Malformed,

    /// <summary>Something else, such as a server that cannot be reached.</summary>
    Error,
}
