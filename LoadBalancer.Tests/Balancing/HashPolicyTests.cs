using FsCheck;
using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class HashPolicyTests
{
    private const int Clients = 2000;

    [Property(Replay = "20261121,7", MaxTest = 100)]
    public void Pick_OneLeaves_MovesItsClientsAndNoOthers(NonEmptyArray<byte> numbers, NonNegativeInt number)
    {
        var backends = numbers.Get.Append<byte>(0).Select((weight, i) => Unprobed($"b{i}", weight: 1 + weight % 10)).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        var leaving = backends[number.Get % backends.Length];
        var before = Homes(pool);

        pool.Change(() => leaving.AdminState = AdminState.Draining);
        var after = Homes(pool);

        before.Zip(after).Where(each => each.First != each.Second).Should().OnlyContain(each => each.First == leaving);
        after.Should().NotContain(leaving);

        pool.Change(() => leaving.AdminState = AdminState.Ready);
        Homes(pool).Should().Equal(before, "who comes back gets back whom it had");
    }

    [Property(Replay = "20261130,7", MaxTest = 10)] // Each key takes two new rings.
    public void Pick_Tried_IsTheOwnerOfTheNextPlaceOnTheRing(NonEmptyArray<byte> numbers)
    {
        // The points of the heavy one are next to each other.
        var backends = numbers.Get.Append<byte>(0).Select((weight, i) => Unprobed($"b{i}", weight: 1 + weight % 10))
            .Append(Unprobed("heavy", weight: 1000)).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        foreach (var key in Enumerable.Range(0, 8).Select(i => ClientHash.Mix((ulong)i)))
        {
            var first = Pick(pool, key);
            var second = Pick(pool, key, first);

            pool.Change(() => first.AdminState = AdminState.Draining);
            Pick(pool, key).Should().Be(second, "it is where the key goes when the first is gone");
            pool.Change(() => first.AdminState = AdminState.Ready);
        }
    }

    [Test]
    public void Pick_OneOfManyWasTried_IsAnyOfTheOthers()
    {
        var backends = Enumerable.Range(0, 10).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        var keys = Enumerable.Range(0, Clients).Select(i => ClientHash.Mix((ulong)i)).Where(key => Pick(pool, key) == backends[3]);

        keys.Select(key => Pick(pool, key, backends[3])).Distinct().Should().BeEquivalentTo(backends.Where(each => each != backends[3]));
    }

    [Test]
    public void Over_RingIsNotBuiltYet_FormerRingServesWithoutThoseThatAreGone()
    {
        List<Action> waiting = [];
        var backends = Enumerable.Range(0, 10).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(new HashPolicy("Hash", new Random(1), waiting.Add), backends);
        waiting.Should().BeEmpty("the first ring is there at once, for there is no other");
        var before = Homes(pool);

        pool.Change(() => backends[4].AdminState = AdminState.Draining);

        waiting.Should().HaveCount(1, "the ring is not built by who changes the pool");
        var meanwhile = Homes(pool);
        meanwhile.Should().NotContain(backends[4]);
        waiting[0]();
        Homes(pool).Should().Equal(meanwhile);
        meanwhile.Zip(before).Should().OnlyContain(each => each.First == each.Second || each.Second == backends[4]);
    }

    [Test]
    public void Over_SeveralChanges_BuildsTheLastRingOnly()
    {
        List<Action> waiting = [];
        var backends = Enumerable.Range(0, 10).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(new HashPolicy("Hash", new Random(1), waiting.Add), backends);
        foreach (var weight in new[] { 2, 3, 4 })
        {
            pool.Change(() => backends[4].Weight = weight);
        }
        var meanwhile = Homes(pool);

        waiting.Should().HaveCount(1, "one ring is built after the other");
        waiting[0]();

        var fresh = PoolOf(NewPolicy(), [.. backends.Select((backend, i) => Unprobed(backend.Name, i == 4 ? 4 : 1))]);
        Homes(pool).Select(home => home.Name).Should().Equal(Homes(fresh).Select(home => home.Name));
        Homes(pool).Count(home => home == backends[4]).Should().BeGreaterThan(2 * meanwhile.Count(home => home == backends[4]));
    }

    [Test]
    public void Over_SameCandidatesAndWeights_KeepsTheRing()
    {
        List<Action> waiting = [];
        var backends = Enumerable.Range(0, 3).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(new HashPolicy("Hash", new Random(1), waiting.Add), backends);

        pool.Change(() => backends[0].MaxInFlight = 7);
        waiting.Should().BeEmpty("nothing has changed that the ring depends on");
        pool.Change(() => backends[0].Weight = 50);

        waiting.Should().HaveCount(1);
        waiting[0]();
        Homes(pool).Count(home => home == backends[0]).Should().BeGreaterThan(Clients * 9 / 10);
    }

    [TestCase(10, 1)]
    [TestCase(100, 1)]
    [TestCase(100, 50)] // more points than a ring holds
    public void Pick_OneOfManyLeaves_MovesAboutItsShare(int count, int weight)
    {
        var backends = Enumerable.Range(0, count).Select(i => Unprobed($"b{i}", weight)).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        var before = Homes(pool);

        pool.Change(() => backends[count / 2].AdminState = AdminState.Draining);

        var moved = before.Zip(Homes(pool)).Count(each => each.First != each.Second);
        moved.Should().BeInRange(Clients / count / 2, Clients / count * 5 / 2);
    }

    [Test]
    public void Pick_WeightGrows_OnlyGains()
    {
        var backends = Enumerable.Range(0, 10).Select(i => Unprobed($"b{i}", weight: 2)).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        var before = Homes(pool);

        pool.Change(() => backends[4].Ramp = 0.3);
        var starting = Homes(pool);
        pool.Change(() => backends[4].Ramp = 1);

        before.Zip(starting).Where(each => each.First != each.Second).Should().OnlyContain(each => each.First == backends[4]);
        Homes(pool).Should().Equal(before);
    }

    [Test]
    public void Pick_TheSameNames_ChoosesTheSameInEveryProcess()
    {
        var pool = PoolOf(NewPolicy(), Unprobed("a"), Unprobed("b"), Unprobed("c"));

        string.Concat(Homes(pool).Take(30).Select(backend => backend.Name)).Should().Be("bbacacbbbcbbbcacbccbbbaccaaaaa");
    }

    [TestCase(3)]
    [TestCase(50)]
    public void Pick_OneHotClient_LeavesNobodyWithMoreThanFiveQuartersOfItsShare(int count)
    {
        var backends = Enumerable.Range(0, count).Select(i => Unprobed($"b{i}", weight: 1 + i % 2)).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        var weights = backends.Sum(backend => backend.Weight);

        for (var total = 1; total <= 20 * count; total++)
        {
            pool.TryAcquire(new SelectionContext(null, clientHash: 42), out var lease).Should().BeTrue();
            lease!.Backend.InFlight.Should().BeLessThanOrEqualTo((int)Math.Ceiling(1.25 * total * lease.Backend.Weight / weights));
        }
    }

    [Test]
    public void Pick_LittleIsInFlightElsewhere_KeepsAClientWhereItIs()
    {
        var backends = Enumerable.Range(0, 10).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        var homes = Homes(pool);

        foreach (var backend in backends)
        {
            backend.WithInFlight(8);
        }

        Homes(pool).Should().Equal(homes, "ten have eighty in flight, so that up to eleven are fine");
    }

    [Test]
    public void Pick_OthersThanTheCandidatesAreBusy_DoesNotRaiseTheBound()
    {
        var backends = Enumerable.Range(0, 3).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(NewPolicy(), backends);
        var home = Homes(pool)[0];
        foreach (var backend in backends)
        {
            backend.WithInFlight(backend == home ? 3 : 0);
        }
        var draining = backends.First(backend => backend != home).WithInFlight(1000);
        pool.Change(() => draining.AdminState = AdminState.Draining);

        Homes(pool)[0].Should().NotBe(home, "it has three of three, and two share them");
    }

    [Test]
    public void Count_ManyHeavyBackends_StaysBounded() =>
        new HashRing([.. Enumerable.Range(0, 5000).Select(i => ($"b{i}", 1000 * 100))], 100).Count.Should()
            .BeInRange(HashRing.MaxPoints * 9 / 10, HashRing.MaxPoints);

    private static HashPolicy NewPolicy() => new("IpHash", new Random(1), build => build());

    private static Backend Pick(BackendPool pool, ulong key, params Backend[] tried) =>
        pool.Snapshot.Policy.Pick(new SelectionContext(tried, key))!;

    private static Backend[] Homes(BackendPool pool) =>
        [.. Enumerable.Range(0, Clients).Select(i => pool.Snapshot.Policy.Pick(new SelectionContext(null, ClientHash.Mix((ulong)i)))!)];
}
