using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Pools;

internal sealed class BackendPoolTests
{
    [Test]
    public void TryAcquire_NobodyEligible_IsFalse()
    {
        var pool = PoolOf(Probed("a"));

        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeFalse();
        lease.Should().BeNull();
    }

    [Test]
    public void TryAcquire_Eligible_CountsUntilCompleted()
    {
        var backend = Unprobed("a");
        var pool = PoolOf(backend);

        var lease = Acquire(pool);
        backend.InFlight.Should().Be(1);
        backend.Requests.Should().Be(1);

        lease.Complete(AttemptOutcome.Succeeded);
        backend.InFlight.Should().Be(0);
        backend.Failures.Should().Be(0);
    }

    [Test]
    public void Complete_Twice_CountsOnce()
    {
        var backend = Unprobed("a");
        var pool = PoolOf(backend);
        using var other = Acquire(pool);

        var lease = Acquire(pool);
        lease.Complete(AttemptOutcome.Failed, "reset");
        lease.Complete(AttemptOutcome.Failed, "reset");
        lease.Dispose();

        backend.InFlight.Should().Be(1);
        backend.Failures.Should().Be(1);
    }

    [Test]
    public void Dispose_NotCompleted_GivesBackWithoutBlame()
    {
        var backend = Unprobed("a");

        Acquire(PoolOf(backend)).Dispose();

        backend.InFlight.Should().Be(0);
        backend.Failures.Should().Be(0);
    }

    [Test]
    public void TryAcquire_Tried_IsNotChosenAgain()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));
        var pool = PoolOf(a, b);

        for (var i = 0; i < 4; i++)
        {
            pool.TryAcquire(new SelectionContext([a]), out var lease).Should().BeTrue();
            lease!.Backend.Should().Be(b);
        }
        pool.TryAcquire(new SelectionContext([a, b]), out _).Should().BeFalse();
    }

    [Test]
    public void TryAcquire_Full_GoesToTheOtherAndThenFails()
    {
        var pool = PoolOf(Unprobed("a", maxInFlight: 1), Unprobed("b", maxInFlight: 1));

        var leases = new[] { Acquire(pool), Acquire(pool) };

        leases.Select(lease => lease.Backend.Name).Should().BeEquivalentTo("a", "b");
        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();
        leases[0].Dispose();
        Acquire(pool).Backend.Should().Be(leases[0].Backend);
    }

    [Test]
    public void TryAcquire_ManyThreads_NeverExceedsMaxInFlight()
    {
        var backend = Unprobed("a", maxInFlight: 3);
        var pool = PoolOf(backend);
        var (most, inside) = (0, 0);

        Parallel.For(0, 20_000, new ParallelOptions { MaxDegreeOfParallelism = 8 }, _ =>
        {
            if (pool.TryAcquire(new SelectionContext(), out var lease))
            {
                InterlockedMax(ref most, Interlocked.Increment(ref inside));
                Interlocked.Decrement(ref inside);
                lease.Complete(AttemptOutcome.Succeeded);
            }
        });

        most.Should().BeInRange(1, 3);
        backend.InFlight.Should().Be(0);
    }

    [TestCase(AdminState.Draining)]
    [TestCase(AdminState.Disabled)]
    public void Change_NotReady_GetsNothingNewButKeepsWhatItHas(AdminState state)
    {
        var backend = Unprobed("a");
        var pool = PoolOf(backend);
        var lease = Acquire(pool);

        pool.Change(() => backend.AdminState = state);

        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();
        backend.InFlight.Should().Be(1);
        lease.Complete(AttemptOutcome.Succeeded);
        pool.Change(() => backend.AdminState = AdminState.Ready);
        Acquire(pool).Backend.Should().Be(backend);
    }

    [Test]
    public void TryAcquire_AllWeightsZero_IsFalse() =>
        PoolOf(Unprobed("a", weight: 0), Unprobed("b", weight: 0)).TryAcquire(new SelectionContext(), out _).Should().BeFalse();

    [Test]
    public void HealthFlipped_OnlyOnFlips_IsRaised()
    {
        var backend = Probed("a");
        var pool = PoolOf(backend);
        var flips = new List<bool>();
        pool.HealthFlipped += (_, flipped) => flips.Add(flipped.Health.IsUp);

        foreach (var succeeded in new[] { true, true, false, false, true })
        {
            pool.ObserveProbe(backend, succeeded, "");
        }

        flips.Should().Equal(true, false, true);
    }

    [Test]
    public void Complete_ConnectFailed_TakesTheBackendOutOfTheNextChoice()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));
        var pool = PoolOf(a, b);
        var lease = Acquire(pool);

        lease.Complete(AttemptOutcome.ConnectFailed, "connection refused");

        for (var i = 0; i < 4; i++)
        {
            Acquire(pool).Backend.Should().NotBe(lease.Backend);
        }
    }

    [Test]
    public void Settled_FirstBackendUp_CompletesBeforeTheOthers()
    {
        var (a, b) = (Probed("a"), Probed("b"));
        var pool = PoolOf(a, b);
        pool.Settled.IsCompleted.Should().BeFalse();

        pool.ObserveProbe(a, false, "down");
        pool.Settled.IsCompleted.Should().BeFalse("b may still be well");
        pool.ObserveProbe(b, true, "ok");

        pool.Settled.IsCompleted.Should().BeTrue();
    }

    [Test]
    public void Settled_TheOnlyKnownBackendGoesDown_WaitsForTheOthersAgain()
    {
        var (a, b) = (Probed("a"), Probed("b"));
        var pool = PoolOf(a, b);
        pool.ObserveProbe(a, true, "ok");
        Acquire(pool).Complete(AttemptOutcome.ConnectFailed, "connection refused");

        var settled = pool.Settled;
        settled.IsCompleted.Should().BeFalse("b was not asked yet");
        pool.ObserveProbe(b, true, "ok");

        settled.IsCompleted.Should().BeTrue();
    }

    [Test]
    public void Settled_AllDown_Completes()
    {
        var (a, b) = (Probed("a"), Probed("b"));
        var pool = PoolOf(a, b);

        pool.ObserveProbe(a, false, "down");
        pool.ObserveProbe(b, false, "down");

        pool.Settled.IsCompleted.Should().BeTrue();
    }

    [TestCase(1, 0)]
    [TestCase(2, 1)]
    [TestCase(5, 2)]
    public void Complete_EverybodyFails_EjectsHalfOfThePoolAtTheMost(int members, int ejected)
    {
        var backends = Enumerable.Range(0, members).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(backends);

        for (var i = 0; i < 50; i++)
        {
            Acquire(pool).Complete(AttemptOutcome.Failed, "reset");
        }

        backends.Count(backend => !backend.Health.IsUp).Should().Be(ejected);
    }

    [Test]
    public void Complete_EverybodyRefusesToConnect_TakesAllOut()
    {
        var backends = Enumerable.Range(0, 4).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(backends);

        for (var i = 0; i < 4; i++)
        {
            Acquire(pool).Complete(AttemptOutcome.ConnectFailed, "connection refused");
        }

        pool.Snapshot.Eligible.Should().BeEmpty("that is proof, as a failed probe is");
        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();
    }

    [Test]
    public void Complete_TheLastOneFails_StaysIn()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));
        var pool = PoolOf(a, b);
        Acquire(pool).Complete(AttemptOutcome.ConnectFailed, "connection refused");

        for (var i = 0; i < 3; i++)
        {
            Acquire(pool).Complete(AttemptOutcome.Failed, "reset");
        }

        pool.Snapshot.Eligible.Should().ContainSingle("it may fail some requests, without it all would fail");
    }

    [TestCase(AdminState.Ready, true)]
    [TestCase(AdminState.Draining, true)]
    [TestCase(AdminState.Disabled, false)]
    public void TryAcquire_OfOnesOwn_IsHadUnlessDisabled(AdminState state, bool had)
    {
        var backend = Unprobed("a");
        var pool = PoolOf(backend, Unprobed("b"));
        pool.Change(() => backend.AdminState = state);

        pool.TryAcquire(backend, out var lease).Should().Be(had);
        backend.InFlight.Should().Be(had ? 1 : 0);
        lease?.Dispose();
    }

    [Test]
    public void TryAcquire_OfOnesOwnDownOrFull_IsNotHad()
    {
        var (down, full) = (Probed("a"), Unprobed("b", maxInFlight: 1));
        var pool = PoolOf(down, full);
        using var lease = Acquire(pool);

        pool.TryAcquire(down, out _).Should().BeFalse();
        pool.TryAcquire(full, out _).Should().BeFalse();
    }

    [Test]
    public void Change_WeightWhileRunning_HoldsForTheNextChoices()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));
        var pool = PoolOf(a, b);

        pool.Change(() => a.Weight = 3);

        Enumerable.Range(0, 8).Count(_ => Acquire(pool).Backend == a).Should().Be(6);
        pool.Change(() => a.Weight = 0);
        Enumerable.Range(0, 8).Count(_ => Acquire(pool).Backend == a).Should().Be(0);
    }

    [Test]
    public void SetMembers_OneLeaves_FinishesWhatItHasAndGetsNothingNew()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));
        var pool = PoolOf(a, b);
        var lease = Acquire(pool);

        pool.SetMembers([b]);

        Enumerable.Range(0, 4).Select(_ => Acquire(pool).Backend).Should().OnlyContain(backend => backend == b);
        pool.TryAcquire(a, out _).Should().BeFalse("not even for its own");
        (a.IsRemoved, a.InFlight).Should().Be((true, 1));
        lease.Complete(AttemptOutcome.Failed, "reset");
        (a.InFlight, b.InFlight).Should().Be((0, 4));
    }

    [Test]
    public void SetMembers_OneStays_KeepsItsHealthAndCounters()
    {
        var (a, b) = (Probed("a"), Probed("b"));
        var pool = PoolOf(a);
        pool.ObserveProbe(a, true, "ok");
        using var lease = Acquire(pool);

        pool.SetMembers([a, b]);

        a.Should().BeEquivalentTo(new { InFlight = 1, Requests = 1, Health = new { IsUp = true } });
        b.Health.IsPending.Should().BeTrue();
    }

    [Test]
    public void SetMembers_ManyComeAndGo_CountNobodyTwice()
    {
        var clock = new FakeTimeProvider();
        var pool = PoolOf();
        for (var i = 0; i < 1000; i++)
        {
            var backend = Unprobed($"b{i}", maxInFlight: 1, time: clock);
            pool.SetMembers([backend]);
            Acquire(pool);
            if (i % 2 == 0)
            {
                pool.SetMembers([]);
            }
            pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();
            backend.InFlight.Should().Be(1);
            clock.Advance(TimeSpan.FromSeconds(50));
        }
    }

    [Test]
    public void SetMembers_PlaceOfOneWhoLeft_IsUsedAgainAfterAWhile()
    {
        var clock = new FakeTimeProvider();
        var pool = PoolOf(Unprobed("a", time: clock));
        var slots = new List<int>();
        for (var i = 0; i < 10; i++)
        {
            clock.Advance(TimeSpan.FromMinutes(2));
            var next = Unprobed($"b{i}", time: clock);
            pool.SetMembers([next]);
            slots.Add(next.Slot);
        }

        slots.Max().Should().BeLessThanOrEqualTo(2);
    }

    [Test]
    public async Task SetPolicyAndMembers_WhileOthersChoose_SomebodyIsAlwaysThere()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));
        var pool = PoolOf(a, b);
        using var done = new CancellationTokenSource();
        var choosing = Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                Acquire(pool).Dispose();
            }
        });

        for (var i = 0; i < 5_000 && !choosing.IsCompleted; i++)
        {
            IBalancingPolicy policy = i % 2 == 0 ? new LoadBalancer.Balancing.FirstPolicy() : new LoadBalancer.Balancing.RoundRobinPolicy();
            pool.Update(update => update.SetPolicy(policy));
            pool.SetMembers(i % 2 == 0 ? [a] : [a, Unprobed("c")]);
        }
        await done.CancelAsync();

        await choosing;
    }

    [Test]
    public void SetRules_NoLongerProbed_IsNotDownByAProbe()
    {
        var backend = Probed("a");
        var pool = PoolOf(backend);
        pool.ObserveProbe(backend, false, "down");

        pool.Update(update => update.SetRules(backend, new HealthRules()));

        Acquire(pool).Backend.Should().Be(backend);
    }

    [Test]
    public void Update_OfEverything_IsOneSnapshot()
    {
        var (a, b, c) = (Unprobed("a"), Probed("b"), Unprobed("c"));
        var pool = PoolOf(a, b);
        pool.ObserveProbe(b, false, "down");
        var (snapshots, flips) = (new List<PoolSnapshot>(), new List<Backend>());
        pool.SnapshotChanged += changed => snapshots.Add(changed.Snapshot);
        pool.HealthFlipped += (_, backend) => flips.Add(backend);

        pool.Update(update =>
        {
            (a.AdminState, b.Weight) = (AdminState.Disabled, 7);
            update.SetRules(b, new HealthRules());
            update.SetPolicy(new LoadBalancer.Balancing.FirstPolicy());
            update.Members = [b, c];
        });

        snapshots.Should().ContainSingle().Which.Should().Be(pool.Snapshot);
        pool.Snapshot.Members.Should().Equal(b, c);
        pool.Snapshot.Eligible.Should().Equal(b, c);
        pool.Snapshot.Policy.Name.Should().Be("First");
        (a.IsRemoved, b.Weight).Should().Be((true, 7));
        flips.Should().Equal(b);
    }

    [Test]
    public async Task Update_OnlyBackendIsDisabledAndAnotherJoins_SomebodyIsAlwaysThere()
    {
        var backend = Unprobed("a");
        var pool = PoolOf(backend);
        using var done = new CancellationTokenSource();
        var choosing = Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                Acquire(pool).Dispose();
            }
        });

        for (var i = 0; i < 5_000 && !choosing.IsCompleted; i++)
        {
            var (before, next) = (backend, Unprobed("a"));
            pool.Update(update =>
            {
                before.AdminState = AdminState.Disabled;
                update.Members = [before, next];
            });
            backend = next;
        }
        await done.CancelAsync();

        await choosing;
    }

    [Test]
    public void SetMembers_TooManyMembers_KeepsThoseThatThereAre()
    {
        var pool = PoolOf(Unprobed("a"));
        var before = pool.Snapshot;

        var change = () => pool.SetMembers([.. Enumerable.Range(0, InFlightCounts.MaxSlots + 1).Select(i => Unprobed($"n{i}"))]);

        change.Should().Throw<InvalidOperationException>();
        pool.Snapshot.Should().BeSameAs(before);
        pool.Invoking(it => it.RequireSlots(InFlightCounts.MaxSlots)).Should().Throw<InvalidOperationException>();
        pool.Invoking(it => it.RequireSlots(InFlightCounts.MaxSlots - 1)).Should().NotThrow();
    }

    [Test]
    public void IsIdle_InFlightAtAMemberOrAtOneThatHasLeft_IsFalse()
    {
        var pool = PoolOf(Unprobed("a"));
        pool.IsIdle.Should().BeTrue();

        var lease = Acquire(pool);
        pool.IsIdle.Should().BeFalse();
        pool.SetMembers([]);
        pool.IsIdle.Should().BeFalse();

        lease.Dispose();
        pool.IsIdle.Should().BeTrue();
    }

    private static BackendLease Acquire(BackendPool pool)
    {
        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        return lease!;
    }

    private static void InterlockedMax(ref int target, int value)
    {
        for (var seen = Volatile.Read(ref target); seen < value;)
        {
            var before = Interlocked.CompareExchange(ref target, value, seen);
            seen = before == seen ? value : before;
        }
    }

    [Test]
    public async Task Health_ChangesWhileOneIsPublished_ArePublishedTogether()
    {
        var (publications, isSlow) = (0, false);
        using var isPublishing = new SemaphoreSlim(0);
        using var mayGoOn = new SemaphoreSlim(0);
        var backends = Enumerable.Range(0, 100).Select(i => Probed($"b{i}")).ToArray();
        var pool = PoolOf(
            new CountingPolicy(() =>
            {
                Interlocked.Increment(ref publications);
                if (Volatile.Read(ref isSlow))
                {
                    Volatile.Write(ref isSlow, false);
                    isPublishing.Release();
                    mayGoOn.Wait();
                }
            }),
            backends);
        var before = publications;
        isSlow = true;

        var first = Task.Run(() => pool.ObserveProbe(backends[0], succeeded: true, "ok"));
        await isPublishing.WaitAsync();
        foreach (var backend in backends[1..])
        {
            pool.ObserveProbe(backend, succeeded: true, "ok"); // None of them waits for the slow one.
        }
        mayGoOn.Release();
        await first;

        await Eventually.BeTrueAsync(() => pool.Snapshot.Eligible.Length == 100, "all are up");
        (publications - before).Should().Be(2);
    }

    /// <summary>A policy that never chooses, and says when it is made for other backends.</summary>
    private sealed class CountingPolicy(Action made) : IBalancingPolicy
    {
        public string Name => "Counting";

        public IBalancingPolicy Over(Candidates candidates)
        {
            made();
            return this;
        }

        public Backend? Pick(in SelectionContext context) => null;
    }
}
