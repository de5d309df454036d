namespace LoadBalancer.Pools;

/// <summary>What an observation changed about a backend.</summary>
[Flags]
public enum HealthChanges
{
    /// <summary>Nothing that anyone else needs to know.</summary>
    None = 0,

    /// <summary>The backend went from up to down or from down to up.</summary>
    Flipped = 1,

    /// <summary>Failed attempts took the backend out; somebody must end that when its time is over.</summary>
    Ejected = 2,
}
