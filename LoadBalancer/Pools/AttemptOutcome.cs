namespace LoadBalancer.Pools;

/// <summary>How the work ended for which a lease was taken, as far as that says something about the backend.</summary>
public enum AttemptOutcome
{
    /// <summary>Says nothing about the backend: the client went away, or the work was never tried.</summary>
    Abandoned,

    /// <summary>The backend did what was asked.</summary>
    Succeeded,

    /// <summary>No connection could be opened, so nothing reached the backend.</summary>
    ConnectFailed,

    /// <summary>There was a connection, but the backend closed it, timed out or sent an invalid response.</summary>
    Failed,
}
