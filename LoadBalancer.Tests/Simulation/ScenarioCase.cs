using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Simulation;

/// <summary>What is simulated.</summary>
/// <param name="Scenario">The servers.</param>
/// <param name="Balancers">How many load balancers share them, which do not know of each other.</param>
/// <param name="Policy">How each chooses.</param>
/// <param name="Load">How much arrives, as a part of what all servers can do.</param>
/// <param name="IsHedged">Whether a request goes to a second server when 95 % of the others are answered.</param>
/// <param name="Limit">What a server may have at once from one load balancer.</param>
internal sealed record ScenarioCase(
    Scenario Scenario, int Balancers, PolicyName Policy, double Load, bool IsHedged = false, InFlightLimit? Limit = null);
