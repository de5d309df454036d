using System.Collections.Concurrent;
using System.Globalization;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;

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

    private static readonly int[] BalancerCounts = [1, 2, 10];
    private static readonly double[] Loads = [0.7, 0.85];

    private static readonly ConcurrentDictionary<(ScenarioCase, int), Lazy<ScenarioResult>> Results = new();

    private static IEnumerable<(Scenario Scenario, int Balancers, double Load)> Grid =>
        from scenario in Enum.GetValues<Scenario>()
        from balancers in BalancerCounts
        from load in Loads
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

    [Test]
    public void Run_OverloadAndLimitIsAuto_AnswersNearlyWhatServersCanDo() => Goodput(Scenario.Same, 2, Many).Should().BeGreaterThan(0.95);

    [Test]
    public void Run_OverloadWithoutALimit_AnswersNearlyEverybodyTooLate() =>
        ScenarioSimulation.Run(new ScenarioCase(Scenario.Same, 1, PolicyName.LeastConnections, 1.3), Many).Goodput.Should().BeLessThan(0.5);

    [TestCase(Scenario.Same, 1)]
    [TestCase(Scenario.Same, 2)]
    [TestCase(Scenario.Speed4, 1)]
    [TestCase(Scenario.Speed4, 2)]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public void Run_OverloadForLongAndLimitIsAuto_AnswersNearlyWhatServersCanDo(Scenario scenario, int balancers) =>
        Goodput(scenario, balancers, 4 * Many).Should().BeGreaterThanOrEqualTo(0.95);

    [Test]
    [Explicit("Prints the table of docs/policies.md.")]
    public void Run_OverloadOfEachScenario_PrintsTheTable()
    {
        TestContext.Out.WriteLine("| scenario | balancers | no limit | Auto |\n| --- | ---: | ---: | ---: |");
        foreach (var (scenario, balancers) in Grid.Select(at => (at.Scenario, at.Balancers)).Distinct())
        {
            var without = ScenarioSimulation.Run(new ScenarioCase(scenario, balancers, PolicyName.HotCold, 1.3), 4 * Many).Goodput;
            TestContext.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {scenario} | {balancers} | {100 * without:0} % | {100 * Goodput(scenario, balancers, 4 * Many):0} % |"));
        }
    }

    [TestCase(Scenario.Same, 1, PolicyName.LeastConnections)]
    [TestCase(Scenario.Same, 10, PolicyName.HotCold)]
    [TestCase(Scenario.Speed4, 2, PolicyName.HotCold)]
    public void Run_MuchToDoAndLimitIsAuto_RefusesNobody(Scenario scenario, int balancers, PolicyName policy) =>
        ScenarioSimulation.Run(new ScenarioCase(scenario, balancers, policy, 0.7, Limit: InFlightLimit.Auto), Many).Refused.Should().Be(0);

    // What is answered within a second, by what all servers can do, where 1.3 times that arrives from the beginning.
    private static double Goodput(Scenario scenario, int balancers, int requests) => ScenarioSimulation.Run(
        new ScenarioCase(scenario, balancers, PolicyName.HotCold, 1.3, Limit: InFlightLimit.Auto), requests).Goodput;

    private static double[] Percentiles(ScenarioResult result) => [result.Percentile(50), result.Percentile(99), result.Percentile(100)];

    private static double P99(Scenario scenario, int balancers, PolicyName policy, double load, int requests) => Results.GetOrAdd(
        (new ScenarioCase(scenario, balancers, policy, load), requests),
        key => new Lazy<ScenarioResult>(() => ScenarioSimulation.Run(key.Item1, key.Item2))).Value.Percentile(99);
}
