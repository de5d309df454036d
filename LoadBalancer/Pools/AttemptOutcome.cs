namespace LoadBalancer.Pools;

/// <summary>How the work that a lease was taken for ended, as far as it says something about the backend.</summary>
public enum AttemptOutcome
{
    /// <summary>Says nothing about the backend: the client went away, or the work was never tried.</summary>
    Abandoned,

    /// <summary>The backend did what was asked.</summary>
    Succeeded,

    /// <summary>No connection could be opened, so nothing reached the backend.</summary>
    ConnectFailed,

    /// <summary>A connection was there, but the backend broke off, timed out or talked nonsense.</summary>
    Failed,
}
