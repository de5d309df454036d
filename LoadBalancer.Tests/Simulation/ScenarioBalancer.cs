using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Simulation;

/// <summary>One of the load balancers of a <see cref="ScenarioSimulation"/>: a real pool, and what decides on hedges.</summary>
internal sealed class ScenarioBalancer(ScenarioCase of, int number, TimeProvider clock)
{
    private const double HedgeShare = 0.2; // the default of Retry:Budget

    public BackendPool Pool { get; } = TestBackends.PoolOf(
        TestPolicies.Make(of.Policy, new Random(3 + number)),
        [.. Enumerable.Range(0, ScenarioSimulation.Servers).Select(i => Server(of, i, clock))]);

    /// <summary>When a request goes to a second server; null where requests are not hedged.</summary>
    public Hedge? Hedge { get; } = of.IsHedged ? new Hedge(new HedgeOptions(), clock) : null;

    public RetryBudget Budget { get; } = new(HedgeShare, clock);

    private static Backend Server(ScenarioCase of, int i, TimeProvider clock)
    {
        var server = TestBackends.Unprobed($"b{i}", time: clock);
        server.LimitTo(of.Limit ?? InFlightLimit.None);
        return server;
    }
}
