using System.Collections.Immutable;

namespace LoadBalancer.Pools;

/// <summary>
/// Who is in a pool, who of them is eligible, and how to choose among those: one immutable object, so that whoever reads it sees
/// the three in step, without a lock.
/// </summary>
/// <param name="Members">All backends, in the order of the configuration.</param>
/// <param name="Eligible">Those that the operator wants, that are up, and whose weight is above 0; whether they have room is not considered.</param>
/// <param name="Policy">Chooses among <paramref name="Eligible"/>.</param>
public sealed record PoolSnapshot(ImmutableArray<Backend> Members, ImmutableArray<Backend> Eligible, IBalancingPolicy Policy);
