namespace LoadBalancer.Pools;

/// <summary>What an observation changed about a backend.</summary>
[Flags]
public enum HealthChanges
{
    /// <summary>Nothing that others need to know.</summary>
    None = 0,

    /// <summary>The backend went from up to down or from down to up.</summary>
    Flipped = 1,

    /// <summary>The backend was ejected; its ejection must be ended when its time is over.</summary>
    Ejected = 2,

    /// <summary>Enough attempts have failed to eject the backend, if the pool can do without it.</summary>
    Ejectable = 4,
}
