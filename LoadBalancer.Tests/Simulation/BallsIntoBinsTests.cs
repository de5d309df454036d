using System.Globalization;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Simulation;

/// <summary>
/// As many requests as backends, none of which ends: how many the busiest backend gets. The theory (Raab and Steger 1998; Azar,
/// Broder, Karlin and Upfal 1994): about ln n / ln ln n at random, ln ln n / ln 2 and a constant for the better of two.
/// </summary>
internal sealed class BallsIntoBinsTests
{
    private const int Rounds = 5;

    [TestCase(100)]
    [TestCase(1_000)]
    [TestCase(10_000)]
    public void Maximum_Always_IsWhatTheoryTells(int count)
    {
        Maximum(PolicyName.Random, count).Should().BeInRange(OfRandom(count), 2.5 * OfRandom(count));
        Maximum(PolicyName.PowerOfTwoChoices, count).Should().BeInRange(2, OfTwoChoices(count) + 1);
    }

    [Test]
    public void Maximum_ManyMoreBackends_GrowsAtRandomAndHardlyForTheBetterOfTwo()
    {
        (Maximum(PolicyName.Random, 10_000) - Maximum(PolicyName.Random, 100)).Should().BeGreaterThan(1.5);
        (Maximum(PolicyName.PowerOfTwoChoices, 10_000) - Maximum(PolicyName.PowerOfTwoChoices, 100)).Should().BeLessThanOrEqualTo(1);
    }

    [Test]
    [Explicit("Prints the table of docs/policies.md.")]
    public void Maximum_UpToTheLargestPool_PrintsTheTables()
    {
        foreach (var count in new[] { 10, 100, 1_000, 10_000, 60_000 })
        {
            TestContext.Out.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {count:N0} | {Maximum(PolicyName.Random, count):0.0} | {OfRandom(count):0.0} | " +
                    $"{Maximum(PolicyName.PowerOfTwoChoices, count):0.0} | {OfTwoChoices(count):0.0} |"));
        }
    }

    private static double OfRandom(int count) => Math.Log(count) / Math.Log(Math.Log(count));

    private static double OfTwoChoices(int count) => Math.Log(Math.Log(count)) / Math.Log(2);

    private static double Maximum(PolicyName policy, int count) => Enumerable.Range(1, Rounds).Average(seed =>
    {
        var pool = TestBackends.PoolOf(
            TestPolicies.Make(policy, new Random(seed)), [.. Enumerable.Range(0, count).Select(i => TestBackends.Unprobed($"b{i}"))]);
        for (var i = 0; i < count; i++)
        {
            pool.TryAcquire(new SelectionContext(), out _).Should().BeTrue();
        }
        return pool.Snapshot.Members.Max(backend => backend.InFlight);
    });
}
