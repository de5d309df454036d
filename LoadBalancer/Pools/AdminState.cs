namespace LoadBalancer.Pools;

/// <summary>What the operator wants a backend to do. Independent of its health, which is what was observed.</summary>
public enum AdminState
{
    /// <summary>Takes new work whenever it is healthy.</summary>
    Ready,

    /// <summary>Finishes what it has in flight and gets nothing new, except for its sticky clients.</summary>
    Draining,

    /// <summary>Out of service: gets nothing at all.</summary>
    Disabled,
}
