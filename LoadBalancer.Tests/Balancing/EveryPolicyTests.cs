using FsCheck;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

/// <summary>What holds for all policies.</summary>
internal sealed class EveryPolicyTests
{
    // Every two bits of a number say something about a backend: its weight (0: none), its limit (0: none), what it has in flight (up to
    // its limit), and whether it was tried before or drains.
    [Property(Replay = "20261121,7", MaxTest = 2000)]
    public void Pick_AnyState_IsSomebodyAdmittedWhereThereIsOne(PolicyName name, NonEmptyArray<byte> numbers, ulong client)
    {
        var states = numbers.Get;
        var backends = states.Select(
            (state, i) => Unprobed(
            $"b{i}", weight: state & 3, maxInFlight: ((state >> 2) & 3) is > 0 and var limit ? limit : null)).ToArray();
        var pool = PoolOf(TestPolicies.Make(name), backends);
        for (var i = 0; i < states.Length; i++)
        {
            for (var n = (states[i] >> 4) & 3; n > 0 && backends[i].TryEnter(out _); n--)
            {
            }
            if (states[i] >> 6 == 3)
            {
                var draining = backends[i];
                pool.Change(() => draining.AdminState = AdminState.Draining);
            }
        }
        var context = new SelectionContext(backends.Where((_, i) => states[i] >> 6 == 1).ToList(), client);
        var admitted = pool.Snapshot.Eligible.Where(backend => context.Admits(backend)).ToList();

        for (var n = 0; n < 5; n++)
        {
            var picked = pool.Snapshot.Policy.Pick(context);
            (picked is null ? admitted.Count == 0 : admitted.Contains(picked)).Should().BeTrue();
        }
    }

    [Test]
    public void Pick_ManyAtOnce_NeverGoesOverMaxInFlightAndLosesNobody([Values] PolicyName name)
    {
        var backends = Enumerable.Range(0, 12).Select(i => Unprobed($"b{i}", weight: 1 + i % 3, maxInFlight: 1 + i % 2)).ToArray();
        var pool = PoolOf(TestPolicies.Make(name, Random.Shared), backends); // as in production: a seeded one is not for several threads
        var inside = new int[backends.Length];
        var (tooMany, refused) = (0, 0);

        // Ten requests at a time, and room for eighteen: none may be rejected.
        Parallel.For(0, 20_000, new ParallelOptions { MaxDegreeOfParallelism = 10 }, i =>
        {
            if (!pool.TryAcquire(new SelectionContext(null, ClientHash.Mix((ulong)i)), out var lease))
            {
                Interlocked.Increment(ref refused);
                return;
            }
            var slot = lease.Backend.Slot;
            if (Interlocked.Increment(ref inside[slot]) > 1 + slot % 2)
            {
                Interlocked.Increment(ref tooMany);
            }
            Interlocked.Decrement(ref inside[slot]);
            lease.Complete(AttemptOutcome.Succeeded);
        });

        tooMany.Should().Be(0);
        refused.Should().Be(0);
        backends.Should().OnlyContain(backend => backend.InFlight == 0);
    }

    [Test]
    public void Pick_IdleBackends_ShareByWeight(
        [Values(PolicyName.RoundRobin, PolicyName.LeastConnections, PolicyName.Random, PolicyName.PowerOfTwoChoices,
            PolicyName.IpHash)] PolicyName name,
        [Values(1, 5)] int times)
    {
        var weights = Enumerable.Range(0, 4 * times).Select(i => 1 + i % 4).ToArray();
        var pool = PoolOf(TestPolicies.Make(name), [.. weights.Select((weight, i) => Unprobed($"b{i}", weight))]);

        var shares = TestPolicies.Shares(pool, 100_000);

        var tolerance = name == PolicyName.IpHash ? 0.35 : 0.1; // 160 points on a ring stray by 8 %
        shares.Select((share, i) => share / (100_000.0 * weights[i] / weights.Sum())).Should()
            .OnlyContain(ratio => Math.Abs(ratio - 1) < tolerance);
    }

    [Test]
    public void Pick_BusyAndOneAtATime_StarvesNobody(
        [Values(PolicyName.RoundRobin, PolicyName.LeastConnections, PolicyName.ResponseTime, PolicyName.Random,
            PolicyName.PowerOfTwoChoices)] PolicyName name,
        [Values(2, 5, 40)] int count)
    {
        var clock = new FakeTimeProvider();
        var backends = Enumerable.Range(0, count).Select(i => Unprobed($"b{i}", time: clock)).ToArray();
        var pool = PoolOf(TestPolicies.Make(name), backends);

        for (var i = 0; i < 100 * count; i++)
        {
            pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
            clock.Advance(TimeSpan.FromMilliseconds(10));
            lease!.ObserveResponse();
            lease.Complete(AttemptOutcome.Succeeded);
        }

        backends.Should().OnlyContain(backend => backend.Requests > 50);
    }

    [Test]
    public void Pick_MembersCameAndWent_ChoosesAmongThoseWhoAreLeft([Values] PolicyName name)
    {
        var clock = new FakeTimeProvider();
        var backends = Enumerable.Range(0, 60).Select(i => Unprobed($"b{i}", time: clock)).ToArray();
        var pool = PoolOf(TestPolicies.Make(name), backends[..40]);
        pool.SetMembers([.. backends[..40].Where((_, i) => i % 3 == 0)]);
        clock.Advance(TimeSpan.FromHours(1));
        pool.SetMembers([.. pool.Snapshot.Members, .. backends[40..]]); // who take the slots of those who left

        var picked = new HashSet<Backend>();
        for (var i = 0; i < 4000; i++)
        {
            picked.Add(pool.Snapshot.Policy.Pick(new SelectionContext(null, ClientHash.Mix((ulong)i)))!);
        }

        picked.Should().BeEquivalentTo(name == PolicyName.First ? [backends[0]] : pool.Snapshot.Members);
    }

    [Test]
    public void Pick_Nobody_IsNull([Values] PolicyName name) => TestPolicies.Make(name).Pick(new SelectionContext()).Should().BeNull();

    [Test]
    public void Name_Always_IsThatOfTheConfiguration([Values] PolicyName name) =>
        LoadBalancer.Composition.NodePool.Policy(name).Name.Should().Be(name.ToString());

    [Test]
    public void Pick_Always_AllocatesNothing([Values] PolicyName name, [Values(2, 100)] int count)
    {
        var pool = PoolOf(TestPolicies.Make(name, Random.Shared), [.. Enumerable.Range(0, count).Select(i => Unprobed($"b{i}"))]);
        var policy = pool.Snapshot.Policy;
        foreach (var backend in pool.Snapshot.Members)
        {
            backend.WithInFlight(backend.Slot % 3);
        }
        for (var i = 0; i < 1000; i++)
        {
            policy.Pick(new SelectionContext(null, (ulong)i << 50));
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            policy.Pick(new SelectionContext(null, (ulong)i << 50));
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).Should().Be(0);
    }
}
