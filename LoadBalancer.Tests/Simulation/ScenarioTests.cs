using System.Collections.Concurrent;
using System.Globalization;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Simulation;

/// <summary>Which policy is best over uneven and disturbed servers: what docs/policies.md says of it.</summary>
internal sealed class ScenarioTests
{
    private const int Many = 100_000;
    private const int Few = 30_000;

    private static readonly PolicyName[] Compared =
    [
        PolicyName.RoundRobin, PolicyName.Random, PolicyName.IpHash, PolicyName.LeastConnections, PolicyName.PowerOfTwoChoices,
        PolicyName.ResponseTime, PolicyName.HotCold,
    ];

    private static readonly ConcurrentDictionary<(ScenarioCase, int), Lazy<ScenarioResult>> Results = new();

    private static IEnumerable<(Scenario Scenario, int Balancers, double Load)> Grid =>
        from scenario in Enum.GetValues<Scenario>()
        from balancers in new[] { 1, 2, 10 }
        from load in new[] { 0.7, 0.85 }
        select (scenario, balancers, load);

    [Test]
    [Explicit("Prints the tables of docs/policies.md.")]
    public void Run_EveryCase_PrintsTheTables([Values] bool isHedged)
    {
        var lines = Grid.AsParallel().AsOrdered().Select(at =>
        {
            var results = Compared.Select(
                policy => ScenarioSimulation.Run(new ScenarioCase(at.Scenario, at.Balancers, policy, at.Load, isHedged), Many)).ToList();
            var best = results.Min(result => result.Percentile(99));
            var cells = results.Select(result => result.Percentile(99) <= 1.02 * best
                ? $"**{result.Percentile(99):0}**" : $"{result.Percentile(99):0}");
            return string.Create(CultureInfo.InvariantCulture,
                $"| {at.Scenario} | {at.Balancers} | {100 * at.Load:0} % | {string.Join(" | ", cells)} |");
        });

        TestContext.Out.WriteLine($"| scenario | balancers | load | {string.Join(" | ", Compared)} |");
        TestContext.Out.WriteLine($"| --- | ---: | ---: |{string.Concat(Compared.Select(_ => " ---: |"))}");
        TestContext.Out.WriteLine(string.Join('\n', lines));
    }

    [Test]
    public void Run_Twice_IsTheSame([Values] bool isHedged)
    {
        var of = new ScenarioCase(Scenario.Antagonist, 2, PolicyName.HotCold, 0.7, isHedged);

        Percentiles(ScenarioSimulation.Run(of, 10_000)).Should().Equal(Percentiles(ScenarioSimulation.Run(of, 10_000)));
    }

    [TestCase(Scenario.Speed4, 10)]
    [TestCase(Scenario.Antagonist, 2)]
    public void Run_HotCold_HasNoHigherPercentileThanResponseTime(Scenario scenario, int balancers) =>
        P99(scenario, balancers, PolicyName.HotCold, 0.7, Few).Should()
            .BeLessThanOrEqualTo(1.02 * P99(scenario, balancers, PolicyName.ResponseTime, 0.7, Few));

    [Test]
    public void Run_HotColdAndTwoSpeedsAndTenBalancers_IsMuchBetterThanLeastConnections() =>
        P99(Scenario.Speed4, 10, PolicyName.HotCold, 0.7, Few).Should()
            .BeLessThanOrEqualTo(0.7 * P99(Scenario.Speed4, 10, PolicyName.LeastConnections, 0.7, Few));

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public void Run_HotCold_NowhereHasAHigherPercentileThanResponseTime()
    {
        var worse = Grid.Where(at => P99(at.Scenario, at.Balancers, PolicyName.HotCold, at.Load, Many)
            > 1.02 * P99(at.Scenario, at.Balancers, PolicyName.ResponseTime, at.Load, Many));

        worse.Should().BeEmpty();
    }

    [TestCase(0.7)]
    [TestCase(0.85)]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public void Run_HotColdAndTwoSpeedsAndTenBalancers_IsFarBelowLeastConnections(double load) =>
        P99(Scenario.Speed4, 10, PolicyName.HotCold, load, Many).Should()
            .BeLessThanOrEqualTo(0.7 * P99(Scenario.Speed4, 10, PolicyName.LeastConnections, load, Many));

    private static double[] Percentiles(ScenarioResult result) => [result.Percentile(50), result.Percentile(99), result.Percentile(100)];

    private static double P99(Scenario scenario, int balancers, PolicyName policy, double load, int requests) => Results.GetOrAdd(
        (new ScenarioCase(scenario, balancers, policy, load), requests),
        key => new Lazy<ScenarioResult>(() => ScenarioSimulation.Run(key.Item1, key.Item2))).Value.Percentile(99);
}
