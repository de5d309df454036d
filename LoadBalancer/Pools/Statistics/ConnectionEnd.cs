namespace LoadBalancer.Pools.Statistics;

/// <summary>How a connection that was relayed, or was to be, has ended.</summary>
public enum ConnectionEnd
{
    /// <summary>Both sides have ended it.</summary>
    Completed,

    /// <summary>The client has reset it, or is gone.</summary>
    ClientReset,

    /// <summary>The backend has reset it, or is gone.</summary>
    BackendReset,

    /// <summary>Nothing has moved for too long.</summary>
    IdleTimeout,

    /// <summary>It was cut because the node had to stop.</summary>
    Shutdown,

    /// <summary>No backend could be had.</summary>
    Unavailable,

    /// <summary>What the client said before anything could be relayed, in TLS or in a PROXY header, was wrong or came too late.</summary>
    Rejected,
}

/// <summary>How the ends of connections are called in metrics.</summary>
public static class ConnectionEnds
{
    /// <summary>Its name there.</summary>
    public static string Label(this ConnectionEnd end) => end switch
    {
        ConnectionEnd.Completed => "completed",
        ConnectionEnd.ClientReset => "client_reset",
        ConnectionEnd.BackendReset => "backend_reset",
        ConnectionEnd.IdleTimeout => "idle_timeout",
        ConnectionEnd.Shutdown => "shutdown",
        ConnectionEnd.Unavailable => "unavailable",
        ConnectionEnd.Rejected => "rejected",
        _ => throw new ArgumentOutOfRangeException(nameof(end), end, null),
    };
}
