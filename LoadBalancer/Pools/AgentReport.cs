namespace LoadBalancer.Pools;

/// <summary>
/// What the agent of a backend wants of it. It is beside what the configuration and the operator want: a backend gets new work only if both
/// allow it, its weight is the share of the configured one, and the lower of the two limits holds.
/// </summary>
/// <param name="State">What it is to do.</param>
/// <param name="Share">The part of its weight that counts, in percent; 0 gives it nothing new. Above 100 it counts more.</param>
/// <param name="Limit">The most leases at once; null: the agent sets no limit.</param>
/// <param name="Down">The word by which it was last declared down; null where the agent does not say so.</param>
public sealed record AgentReport(AdminState State, int Share, int? Limit, string? Down)
{
    /// <summary>There is no agent, or it has changed nothing.</summary>
    public static AgentReport None { get; } = new(AdminState.Ready, 100, null, null);
}
