using System.Collections.Concurrent;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Simulation;

/// <summary>
/// One of a hundred servers ten times slower than the others, one that dies, one that flaps: what docs/policies.md says of them.
/// </summary>
internal sealed class PolicySimulationTests
{
    private const int Requests = 200_000;

    private static readonly ConcurrentDictionary<PolicyName, Lazy<SimulationResult>> Results = new();

    [Test]
    [Explicit("Prints the tables of docs/policies.md.")]
    public void Run_EveryPolicy_PrintsTheTables([Values] bool withTrouble)
    {
        var lines = Enum.GetValues<PolicyName>().Where(policy => policy != PolicyName.First)
            .Select(policy => PoolSimulation.Run(policy, Requests, withTrouble).Line);

        TestContext.Out.WriteLine(string.Join('\n', lines.Prepend(SimulationResult.Head)));
    }

    [Test]
    public void Run_Twice_IsTheSame([Values(PolicyName.ResponseTime, PolicyName.PowerOfTwoChoices)] PolicyName policy) =>
        PoolSimulation.Run(policy, 20_000, true).Line.Should().Be(PoolSimulation.Run(policy, 20_000, true).Line);

    [TestCase(PolicyName.LeastConnections)]
    [TestCase(PolicyName.ResponseTime)]
    [TestCase(PolicyName.IpHash)]
    [TestCase(PolicyName.PowerOfTwoChoices)]
    public void Run_PolicyThatSeesLoad_HidesEveryFailure(PolicyName policy) => Of(policy).Errors.Should().Be(0);

    [TestCase(PolicyName.RoundRobin)]
    [TestCase(PolicyName.Random)]
    public void Run_PolicyThatSeesNothing_QueuesUpAtTheSlowOne(PolicyName policy)
    {
        Of(policy).Errors.Should().BeGreaterThan(100, "it goes on until passive health takes the slow one out");
        Of(policy).Percentile(99.9).Should().BeGreaterThan(5 * Of(PolicyName.LeastConnections).Percentile(99.9));
    }

    [Test]
    public void Run_PowerOfTwoChoices_HasALowerPercentileThanRandom()
    {
        Of(PolicyName.PowerOfTwoChoices).Percentile(50).Should().BeLessThan(Of(PolicyName.Random).Percentile(50));
        Of(PolicyName.PowerOfTwoChoices).Percentile(99).Should().BeLessThan(Of(PolicyName.Random).Percentile(99));
    }

    [Test]
    public void Run_LeastConnections_IsTheMostEvenAndTwoChoicesNext()
    {
        var imbalances = new[] { PolicyName.LeastConnections, PolicyName.PowerOfTwoChoices, PolicyName.Random }.Select(
            policy => Of(policy).Imbalances.Average());

        imbalances.Should().BeInAscendingOrder();
    }

    [Test]
    public void Run_SlowServer_GetsLessTheMoreAPolicySeesButNeverNothing()
    {
        Of(PolicyName.ResponseTime).SlowShare.Should().BeGreaterThan(0.0001);
        Of(PolicyName.ResponseTime).SlowShare.Should().BeLessThan(Of(PolicyName.LeastConnections).SlowShare / 2);
        Of(PolicyName.LeastConnections).SlowShare.Should().BeLessThan(Of(PolicyName.RoundRobin).SlowShare / 2);
    }

    private static SimulationResult Of(PolicyName policy) =>
        Results.GetOrAdd(policy, name => new Lazy<SimulationResult>(() => PoolSimulation.Run(name, Requests, true))).Value;
}
