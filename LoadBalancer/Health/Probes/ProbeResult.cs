using LoadBalancer.Pools;

namespace LoadBalancer.Health.Probes;

/// <summary>What a probe found.</summary>
/// <param name="Succeeded">Whether the backend is healthy.</param>
/// <param name="Reason">The reason, in one short phrase for logs and status pages.</param>
public readonly record struct ProbeResult(bool Succeeded, string Reason)
{
    /// <summary>What the backend's agent wants of it; null: it has no agent.</summary>
    public AgentReport? Agent { get; init; }

    /// <summary>Whether it counts at once, however many results are needed otherwise: an agent knows what it says.</summary>
    public bool IsCertain { get; init; }
}
