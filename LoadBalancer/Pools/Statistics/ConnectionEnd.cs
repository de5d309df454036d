namespace LoadBalancer.Pools.Statistics;

/// <summary>How a connection that was relayed, or was to be, has ended. In metrics the names are in snake case.</summary>
public enum ConnectionEnd
{
    /// <summary>Both sides have ended it.</summary>
    Completed,

    /// <summary>The client has reset it, or cannot be reached any more.</summary>
    ClientReset,

    /// <summary>The backend has reset it, or cannot be reached any more.</summary>
    BackendReset,

    /// <summary>No byte has moved for too long.</summary>
    IdleTimeout,

    /// <summary>The node closed it because it had to stop.</summary>
    Shutdown,

    /// <summary>There was no backend for it.</summary>
    Unavailable,

    /// <summary>The client's TLS handshake or PROXY header was wrong or came too late.</summary>
    Rejected,
}
