using System.Collections.Immutable;

namespace LoadBalancer.Pools;

/// <summary>
/// The members of a pool, which of them are eligible, and the policy that chooses among those: one immutable object, so that a reader
/// sees three consistent values without a lock.
/// </summary>
/// <param name="Members">All backends, in the order of the configuration.</param>
/// <param name="Eligible">The members that are ready and up, and whose weight is above 0; they may be full.</param>
/// <param name="Policy">Chooses among <paramref name="Eligible"/>.</param>
public sealed record PoolSnapshot(ImmutableArray<Backend> Members, ImmutableArray<Backend> Eligible, IBalancingPolicy Policy);
