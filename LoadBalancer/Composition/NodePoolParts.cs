using LoadBalancer.Diagnostics;
using LoadBalancer.Health;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>What the pools of a node have in common.</summary>
/// <param name="Time">The clock.</param>
/// <param name="HealthLog">Logs each change of health.</param>
/// <param name="Errors">Records each error that a client sees.</param>
/// <param name="Durations">Record the durations of requests and tasks for readers that need each single one.</param>
/// <param name="Loggers">Make loggers.</param>
/// <param name="Stopping">Cancelled when the node stops.</param>
internal sealed record NodePoolParts(
    TimeProvider Time, HealthLog HealthLog, ErrorStatistics Errors, DurationInstruments Durations, ILoggerFactory Loggers,
    CancellationToken Stopping)
{
    /// <summary>Held while the members of any pool change: by a new configuration, or by an operator.</summary>
    public Lock Gate { get; } = new();

    /// <summary>What the process that this one replaces knew of a pool, by its name; null, as most often, where there was none.</summary>
    public Func<string, HandedPool?> Handed { get; set; } = _ => null;

    /// <summary>What operators have set in the whole cluster; null where the node is in none.</summary>
    public SharedPools? Shared { get; init; }
}
