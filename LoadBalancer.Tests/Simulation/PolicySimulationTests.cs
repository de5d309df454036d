using LoadBalancer.Configuration;

namespace LoadBalancer.Tests.Simulation;

internal sealed class PolicySimulationTests
{
    [Test]
    [Explicit("Prints the tables of docs/policies.md.")]
    public void Run_EveryPolicy_PrintsTheTables([Values] bool withTrouble)
    {
        var lines = Balancing.Select(policy => PoolSimulation.Run(policy, 200_000, withTrouble).Line);

        TestContext.Out.WriteLine(string.Join('\n', lines.Prepend(SimulationResult.Head)));
    }

    private static PolicyName[] Balancing => [.. Enum.GetValues<PolicyName>().Where(policy => policy != PolicyName.First)];
}
