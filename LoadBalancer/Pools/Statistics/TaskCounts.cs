namespace LoadBalancer.Pools.Statistics;

/// <summary>What has become of the tasks of a pool whose workers register.</summary>
/// <param name="Pool">The pool's name.</param>
/// <param name="Waiting">Tasks that wait for a worker.</param>
/// <param name="Running">Tasks that are being worked on.</param>
/// <param name="Lost">Attempts that ended without a result.</param>
/// <param name="Failed">Tasks that no worker has finished.</param>
/// <param name="Waits">How long tasks have waited: how many in each of the spaces between <see cref="AnswerStatistics.DurationBounds"/> and beyond the last, and their sum.</param>
/// <param name="Runs">How long workers have taken, the same way.</param>
public sealed record TaskCounts(string Pool, int Waiting, int Running, long Lost, long Failed, (long[] Counts, TimeSpan Sum) Waits, (long[] Counts, TimeSpan Sum) Runs);
