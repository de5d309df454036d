using FsCheck;
using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class RoundRobinPolicyTests
{
    [Test]
    public void Pick_EqualWeights_TakesTurnsInOrder() => Picks(6, ("a", 1), ("b", 1), ("c", 1)).Should().Be("abcabc");

    [Test]
    public void Pick_FiveToOneToOne_InterleavesAsNginxDoes() => Picks(14, ("a", 5), ("b", 1), ("c", 1)).Should().Be("aabacaaaabacaa");

    [Property(Replay = "20261121,7", MaxTest = 200)]
    public void Pick_AnyWindowOfACycle_HasTheExactShares(NonEmptyArray<byte> numbers, NonNegativeInt start)
    {
        var weights = numbers.Get.Take(20).Select(number => 1 + number).ToArray();
        var pool = PoolOf([.. weights.Select((weight, i) => Unprobed($"b{i}", weight))]);
        TestPolicies.Shares(pool, start.Get);

        TestPolicies.Shares(pool, weights.Sum()).Should().Equal(weights);
    }

    [Property(Replay = "20261121,7", MaxTest = 200)]
    public void Pick_AnyShorterWindow_IsNeverFarFromTheShares(NonEmptyArray<byte> numbers, NonNegativeInt length)
    {
        var weights = numbers.Get.Take(20).Select(number => 1 + number).ToArray();
        var picks = length.Get % weights.Sum();

        var shares = TestPolicies.Shares(PoolOf([.. weights.Select((weight, i) => Unprobed($"b{i}", weight))]), picks);

        shares.Select((share, i) => Math.Abs(share - (double)picks * weights[i] / weights.Sum())).Should()
            .OnlyContain(distance => distance < weights.Length);
    }

    [Test]
    public void Pick_OnlyTheLightestOfALongCycleHasRoom_FindsIt()
    {
        var backends = Enumerable.Range(0, 10).Select(i => Unprobed($"b{i}", weight: i == 7 ? 1 : 999, maxInFlight: 1)).ToArray();
        var policy = PoolOf(backends).Snapshot.Policy;
        foreach (var backend in backends)
        {
            backend.WithInFlight(backend == backends[7] ? 0 : 1);
        }

        policy.Pick(new SelectionContext()).Should().Be(backends[7]);
    }

    [Test]
    public void Pick_CommonDivisor_IsTakenOutOfTheCycle() => Picks(4, ("a", 500), ("b", 500)).Should().Be("abab");

    [Test]
    public void Pick_FullBackend_GoesToTheNext()
    {
        var (a, b) = (Unprobed("a", maxInFlight: 1), Unprobed("b"));
        var policy = PoolOf(a, b).Snapshot.Policy;
        a.TryEnter(out _).Should().BeTrue();

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

        pool.Snapshot.Policy.Pick(new SelectionContext()).Should()
            .Be(b, "the first backend must not get an extra request at every change of health");
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
