namespace LoadBalancer.Pools;

/// <summary>What the operator wants of a backend. Independent of its health, which is what we observed.</summary>
public enum AdminState
{
    /// <summary>Takes new work whenever it is healthy.</summary>
    Ready,

    /// <summary>Finishes what it has and gets nothing new.</summary>
    Draining,

    /// <summary>Out of service.</summary>
    Disabled,
}
