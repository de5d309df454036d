using System.Collections.Immutable;

namespace LoadBalancer.Pools;

/// <summary>
/// What one change of a pool sets, see <see cref="BackendPool.Update"/>. Begins with what holds now; what is not
/// touched stays.
/// </summary>
public sealed class PoolUpdate
{
    internal PoolUpdate(PoolSnapshot now) => (Members, Policy) = (now.Members, now.Policy);

    /// <summary>
    /// All members, in order. A backend that stays keeps everything; one that leaves finishes what is in flight and gets nothing new. It
    /// cannot come back: to be a member again it must be made anew.
    /// </summary>
    public ImmutableArray<Backend> Members { get; set; }

    /// <summary>How backends are chosen; another policy is one over nobody yet.</summary>
    public IBalancingPolicy Policy { get; set; }

    /// <summary>The members whose health is another by the rules that were set.</summary>
    internal List<Backend> Flipped { get; } = [];

    /// <summary>Applies other rules to what is observed of a backend.</summary>
    public void SetRules(Backend backend, HealthRules rules)
    {
        if (backend.Health.SetRules(rules).HasFlag(HealthChanges.Flipped))
        {
            Flipped.Add(backend);
        }
    }
}
