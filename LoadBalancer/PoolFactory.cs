using LoadBalancer.Balancing;
using LoadBalancer.Configuration;
using LoadBalancer.Health;
using LoadBalancer.Pools;

namespace LoadBalancer;

/// <summary>Makes pools out of their options, with all that watches them.</summary>
internal static class PoolFactory
{
    /// <summary>Makes a pool; the options must be valid.</summary>
    public static BackendPool Build(string name, PoolOptions options, TimeProvider time, HealthLog log)
    {
        var pool = new BackendPool(name, Policy(options.Policy), [.. options.Backends.Select(entry => Backend(entry.Key, entry.Value, Rules(options), time))], options.Queue.Limit);
        log.Watch(pool);
        EjectionTimer.Watch(pool, time);
        if (options.SlowStart > TimeSpan.Zero)
        {
            SlowStart.Watch(pool, options.SlowStart, time);
        }
        return pool;
    }

    private static Backend Backend(string name, BackendOptions options, HealthRules rules, TimeProvider time) =>
        new(name, options.Address!, new BackendHealth(rules, time), options.Weight, options.MaxInFlight) { AdminState = options.AdminState };

    private static HealthRules Rules(PoolOptions options) => new()
    {
        Probed = options.HealthCheck is not null,
        Rise = options.HealthCheck?.Rise ?? 1,
        Fall = options.HealthCheck?.Fall ?? 1,
        Failures = options.PassiveHealth.Failures,
        FailureShare = options.PassiveHealth.FailureShare,
        Window = options.PassiveHealth.Window,
        Ejection = options.PassiveHealth.Ejection,
        LongestEjection = options.PassiveHealth.LongestEjection,
    };

    private static IBalancingPolicy Policy(PolicyName name) => name switch
    {
        PolicyName.First => new FirstPolicy(),
        _ => new RoundRobinPolicy(),
    };
}
