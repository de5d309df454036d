using LoadBalancer.Balancing;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Support;

/// <summary>Backends and pools in the states that a test needs. No server listens at their addresses.</summary>
internal static class TestBackends
{
    public static Backend Unprobed(string name, int weight = 1, int? maxInFlight = null, TimeProvider? time = null) =>
        Make(name, new HealthRules(), weight, maxInFlight, time);

    public static Backend Probed(string name, HealthRules? rules = null, TimeProvider? time = null) =>
        Make(name, (rules ?? new HealthRules()) with { Probed = true }, 1, null, time);

    public static BackendPool PoolOf(params Backend[] backends) => PoolOf(new RoundRobinPolicy(), backends);

    public static BackendPool PoolOf(IBalancingPolicy policy, params Backend[] backends) => new("pool", policy, [.. backends]);

    private static Backend Make(string name, HealthRules rules, int weight, int? maxInFlight, TimeProvider? time) =>
        new(name, new EndpointAddress("http", "127.0.0.1", 1), new BackendHealth(rules, time ?? new FakeTimeProvider()), weight,
        maxInFlight);
}
