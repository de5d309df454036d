using System.Collections.Immutable;

namespace LoadBalancer.Pools;

/// <summary>
/// The new values of one pool change, see <see cref="BackendPool.Update"/>. It starts with the present values; values that are not set
/// stay.
/// </summary>
public sealed class PoolUpdate
{
    internal PoolUpdate(PoolSnapshot now) => (Members, Policy) = (now.Members, now.Policy);

    /// <summary>
    /// All members, in order. A backend that stays keeps its state. A backend that leaves finishes what is in flight and gets nothing new;
    /// it cannot come back, a new backend must be made for it.
    /// </summary>
    public ImmutableArray<Backend> Members { get; set; }

    /// <summary>How backends are chosen.</summary>
    public IBalancingPolicy Policy { get; private set; }

    /// <summary>The members that went up or down because of the new rules.</summary>
    internal List<Backend> Flipped { get; } = [];

    /// <summary>Chooses backends in another way.</summary>
    /// <param name="policy">The new policy, made without backends.</param>
    public void SetPolicy(IBalancingPolicy policy)
    {
        Policy = policy;
        foreach (var member in Members)
        {
            member.Expected = null; // It is made again where the new policy uses it.
        }
    }

    /// <summary>Sets the health rules of a backend.</summary>
    public void SetRules(Backend backend, HealthRules rules)
    {
        if (backend.Health.SetRules(rules).HasFlag(HealthChanges.Flipped))
        {
            Flipped.Add(backend);
        }
    }
}
