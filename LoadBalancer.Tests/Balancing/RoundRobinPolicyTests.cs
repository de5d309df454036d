using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class RoundRobinPolicyTests
{
    [Test]
    public void Pick_EqualWeights_TakesTurnsInOrder() => Picks(6, ("a", 1), ("b", 1), ("c", 1)).Should().Be("abcabc");

    [Test]
    public void Pick_FiveToOneToOne_InterleavesAsNginxDoes() => Picks(14, ("a", 5), ("b", 1), ("c", 1)).Should().Be("aabacaaaabacaa");

    [TestCase(new[] { 3, 2 })]
    [TestCase(new[] { 7, 1, 4, 4 })]
    [TestCase(new[] { 1000, 999 })]
    [TestCase(new[] { 1, 1000 })]
    public void Pick_AnyWindowOfACycle_HasTheExactShares(int[] weights)
    {
        var cycle = weights.Sum();
        var picks = Picks(cycle * 2, [.. weights.Select((weight, i) => ($"{(char)('a' + i)}", weight))]);

        for (var start = 0; start < cycle; start += Math.Max(1, cycle / 50))
        {
            var window = picks.Substring(start, cycle);
            weights.Select((_, i) => window.Count(c => c == 'a' + i)).Should().Equal(weights);
        }
    }

    [Test]
    public void Pick_CommonDivisor_IsTakenOutOfTheCycle() => Picks(4, ("a", 500), ("b", 500)).Should().Be("abab");

    [Test]
    public void Pick_FullBackend_GoesToTheNext()
    {
        var (a, b) = (Unprobed("a", maxInFlight: 1), Unprobed("b"));
        var policy = PoolOf(a, b).Snapshot.Policy;
        a.TryEnter().Should().BeTrue();

        for (var i = 0; i < 4; i++)
        {
            policy.Pick(new SelectionContext()).Should().Be(b);
        }
    }

    [Test]
    public void Pick_Nobody_IsNull() => new RoundRobinPolicy().Pick(new SelectionContext()).Should().BeNull();

    [Test]
    public void Over_AnotherSet_GoesOnCounting()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));
        var pool = PoolOf(a, b);
        pool.Snapshot.Policy.Pick(new SelectionContext()).Should().Be(a);

        pool.Change(() => a.AdminState = AdminState.Ready);

        pool.Snapshot.Policy.Pick(new SelectionContext()).Should().Be(b, "whoever comes first must not get more for every change of health");
    }

    [Test]
    public void Over_AThousandBackendsOfManyWeights_KeepsRoughShares()
    {
        var backends = Enumerable.Range(0, 1000).Select(i => Unprobed($"b{i}", weight: 1 + i)).ToArray();
        var policy = PoolOf(backends).Snapshot.Policy;
        var counts = new Dictionary<Backend, int>();

        for (var i = 0; i < 500_500; i++)
        {
            var picked = policy.Pick(new SelectionContext())!;
            counts[picked] = counts.GetValueOrDefault(picked) + 1;
        }

        counts[backends[999]].Should().BeGreaterThan(5 * counts[backends[99]]);
        counts.Should().HaveCount(1000);
    }

    private static string Picks(int count, params (string Name, int Weight)[] backends)
    {
        var policy = PoolOf([.. backends.Select(backend => Unprobed(backend.Name, backend.Weight))]).Snapshot.Policy;
        return string.Concat(Enumerable.Range(0, count).Select(_ => policy.Pick(new SelectionContext())!.Name));
    }
}
