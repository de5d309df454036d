using FsCheck;
using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class LeastConnectionsPolicyTests
{
    // Few are compared one by one, many at once: it must not show.
    [Property(Replay = "20261121,7", MaxTest = 500)]
    public void Pick_AnyCounts_IsOneOfTheLeastForItsWeight(NonEmptyArray<byte> numbers)
    {
        var backends = numbers.Get.Select((number, i) => Unprobed($"b{i}", weight: number % 4)).ToArray();
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), backends);
        for (var i = 0; i < backends.Length; i++)
        {
            backends[i].WithInFlight(numbers.Get[i] / 4);
        }

        var picked = pool.Snapshot.Policy.Pick(new SelectionContext());

        (picked?.InFlight * 6 / picked?.Weight).Should()
            .Be(pool.Snapshot.Eligible.IsEmpty ? null : pool.Snapshot.Eligible.Min(backend => backend.InFlight * 6 / backend.Weight));
    }

    [TestCase(4)]
    [TestCase(40)]
    [TestCase(1000)]
    public void Pick_SomeAreEqual_SharesAmongThemByWeight(int count)
    {
        // Three in four have one request for each of their weight, which is the least; a third of these weighs three.
        var backends = Enumerable.Range(0, count).Select(i => Unprobed($"b{i}", weight: i % 4 == 1 ? 3 : 1)).ToArray();
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), backends);
        for (var i = 0; i < count; i++)
        {
            backends[i].WithInFlight(i % 4 == 0 ? 2 : backends[i].Weight);
        }

        var shares = TestPolicies.Shares(pool, 30_000);

        var byKind = shares.Select((share, i) => (share, Kind: i % 4)).GroupBy(each => each.Kind).OrderBy(kind => kind.Key)
            .Select(kind => kind.Sum(each => each.share) / 6000.0).ToList();
        byKind[0].Should().Be(0);
        byKind[1].Should().BeApproximately(3, 0.15);
        byKind[2].Should().BeApproximately(1, 0.1);
        byKind[3].Should().BeApproximately(1, 0.1);
        shares.Count(share => share > 0).Should().BeGreaterThan(count * 7 / 10);
    }

    [Test]
    public void Pick_OneOfManyIsFree_FindsIt()
    {
        var backends = Enumerable.Range(0, 1000).Select(i => Unprobed($"b{i}", weight: 1 + i % 7)).ToArray();
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), backends);
        foreach (var backend in backends)
        {
            backend.WithInFlight(backend == backends[777] ? 0 : 3);
        }

        TestPolicies.Shares(pool, 50)[777].Should().Be(50);
    }

    [Test]
    public void Pick_TheLeastIsFullOrTried_IsTheNext()
    {
        var backends = Enumerable.Range(0, 20).Select(i => Unprobed($"b{i}", maxInFlight: i == 0 ? 1 : null)).ToArray();
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), backends);
        for (var i = 0; i < backends.Length; i++)
        {
            backends[i].WithInFlight(i + 1);
        }

        pool.Snapshot.Policy.Pick(new SelectionContext()).Should().Be(backends[1]);
        pool.Snapshot.Policy.Pick(new SelectionContext([backends[1]])).Should().Be(backends[2]);
    }

    [TestCase(10, 1, 1)]
    [TestCase(9, 1, 1, 1)]
    [TestCase(9, 2, 1)]
    [TestCase(14, 5, 1, 1)]
    [TestCase(21, 7, 300, 7, 7)]
    [TestCase(30, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)]
    [TestCase(33, 3, 1, 1, 1, 1, 1, 1, 1, 1)]
    public void Pick_OneRequestAfterTheOther_GivesEachItsShareExactly(int requests, params int[] weights)
    {
        var backends = weights.Select((weight, i) => Unprobed($"b{i}", weight)).ToArray();
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), backends);

        for (var i = 0; i < requests; i++)
        {
            pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
            lease!.Complete(AttemptOutcome.Succeeded);
        }

        var expected = weights.Select(weight => (double)requests * weight / weights.Sum()).ToArray();
        backends.Select((backend, i) => Math.Abs(backend.Requests - expected[i])).Should().OnlyContain(difference => difference < 1);
    }

    [Test]
    public void Pick_TwoThatAreEqual_Alternate()
    {
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), Unprobed("a"), Unprobed("b"));

        var picked = Enumerable.Range(0, 10).Select(_ => pool.Snapshot.Policy.Pick(new SelectionContext())!.Name);

        string.Concat(picked).Should().Be("ababababab");
    }

    [Test]
    public void Pick_OneHeavyAndTwoLight_MixesThem()
    {
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), Unprobed("a", weight: 5), Unprobed("b"), Unprobed("c"));

        var picked = string.Concat(Enumerable.Range(0, 14).Select(_ => pool.Snapshot.Policy.Pick(new SelectionContext())!.Name));

        picked.Count(name => name == 'a').Should().Be(10);
        picked.Should().NotContain("aaaaa");
        picked.Should().NotContainAny("bc", "cb", "bb", "cc");
    }

    [Test]
    public void Pick_OneIsBusyForLong_TheOthersAlternate()
    {
        var backends = new[] { Unprobed("a"), Unprobed("b"), Unprobed("c") };
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), backends);
        backends[0].WithInFlight(1);

        for (var i = 0; i < 100; i++)
        {
            pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
            lease!.Complete(AttemptOutcome.Succeeded);
        }

        // The thread may move to another core, which has turns of its own.
        backends[1].Requests.Should().BeInRange(40, 60);
        backends[2].Requests.Should().Be(100 - backends[1].Requests);
    }

    [Test]
    public void Pick_AfterAChangeOfTheSet_GoesOn()
    {
        var backends = Enumerable.Range(0, 40).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(new LeastConnectionsPolicy(new Random(1)), backends);
        for (var i = 0; i < 39; i++)
        {
            pool.Snapshot.Policy.Pick(new SelectionContext());
        }
        pool.SetMembers([.. backends[..3]]); // the next turn was that of one that is gone

        var picked = Enumerable.Range(0, 6).Select(_ => pool.Snapshot.Policy.Pick(new SelectionContext())!).ToList();

        picked.Should().OnlyContain(backend => picked.Count(other => other == backend) == 2);
    }
}
