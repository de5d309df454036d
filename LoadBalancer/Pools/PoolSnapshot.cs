using System.Collections.Immutable;

namespace LoadBalancer.Pools;

/// <summary>
/// The members of a pool, which of them are eligible, and the policy that chooses among those: one immutable object, so that a reader
/// sees consistent values without a lock.
/// </summary>
/// <param name="Members">All backends, in the order of the configuration.</param>
/// <param name="Eligible">The members that are ready and up, and whose weight is above 0; they may be full. Those of all tiers.</param>
/// <param name="Policy">Chooses among the eligible backends of <paramref name="Tier"/>.</param>
/// <param name="Tier">
/// The lowest <see cref="Backend.Tier"/> that has an eligible backend; at the start, one whose first probe is under way.
/// <see cref="int.MaxValue"/> where there is none.
/// </param>
/// <param name="StandBys">The other tiers that have an eligible backend, the lowest first, and who chooses among those.</param>
public sealed record PoolSnapshot(
    ImmutableArray<Backend> Members, ImmutableArray<Backend> Eligible, IBalancingPolicy Policy, int Tier,
    ImmutableArray<(int Tier, IBalancingPolicy Policy)> StandBys)
{
    /// <summary>Makes the snapshot of these members as they are now.</summary>
    /// <param name="members">The members.</param>
    /// <param name="policy">How backends are chosen.</param>
    /// <param name="counts">What the pool has in flight.</param>
    /// <param name="isStarting">
    /// Whether first probes are awaited. A stand-by whose first probe ends before those of the others must not serve for this moment.
    /// </param>
    internal static PoolSnapshot Of(ImmutableArray<Backend> members, IBalancingPolicy policy, InFlightCounts counts, bool isStarting)
    {
        IBalancingPolicy Over(ImmutableArray<Backend> backends) =>
            policy.Over(new Candidates(backends, [.. backends.Select(backend => backend.EffectiveWeight)], counts));

        var eligible = members.Where(backend => backend.IsEligible).ToImmutableArray();
        var candidates = isStarting ? members.Where(backend => backend.IsEligible || backend.IsAwaited) : eligible;
        var tier = candidates.Select(backend => backend.Tier).DefaultIfEmpty(int.MaxValue).Min();
        var others = eligible.Where(backend => backend.Tier != tier).ToLookup(backend => backend.Tier);
        var serving = others.Count == 0 ? eligible : [.. eligible.Where(backend => backend.Tier == tier)];
        var standBys = others.OrderBy(group => group.Key).Select(group => (group.Key, Over([.. group])));
        return new PoolSnapshot(members, eligible, Over(serving), tier, [.. standBys]);
    }

    /// <summary>Whether a backend of <see cref="Tier"/> is eligible.</summary>
    internal bool IsServed => Eligible.Length > 0 && (StandBys.IsEmpty || Eligible.Any(backend => backend.Tier == Tier));

    /// <summary>Whether there is an eligible backend of a lower tier than this on which the work was not tried.</summary>
    internal bool HasUntried(in SelectionContext context, long belowTier)
    {
        foreach (var backend in Eligible)
        {
            if (backend.Tier < belowTier && !context.HasTried(backend))
            {
                return true;
            }
        }
        return false;
    }
}
