using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Tasks;

/// <summary>What has become of the tasks of a pool, at one moment.</summary>
/// <param name="Pool">The pool's name.</param>
/// <param name="Waiting">Tasks that wait for a worker.</param>
/// <param name="Running">Tasks that workers are running, without those that have taken too long.</param>
/// <param name="Lost">Attempts that ended without a result.</param>
/// <param name="Failed">Tasks that were given up after <c>MaxAttempts</c>.</param>
/// <param name="Waits">How long tasks have waited for their first worker.</param>
/// <param name="Runs">How long workers have taken.</param>
public sealed record TaskCounts(string Pool, int Waiting, int Running, long Lost, long Failed, DurationCounts Waits, DurationCounts Runs);
