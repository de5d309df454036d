using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Pools;

internal sealed class AdaptiveLimitTests
{
    private readonly FakeTimeProvider _clock = new();

    [Test]
    public void Limit_AtFirst_IsTwenty()
    {
        var backend = Auto("a");
        var pool = PoolOf(backend);

        Acquire(pool, 20).Should().HaveCount(20);
        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();
        backend.MaxInFlight.Should().Be(20);
        backend.HasRoom.Should().BeFalse();
    }

    [TestCase(100, 20, 25 + 5)] // g = 1.25
    [TestCase(125, 20, 20 + 4)] // g = 1
    [TestCase(500, 20, 10 + 3)] // g = 0.5, the lowest
    [TestCase(500, 2, 2)]       // the lowest limit
    [TestCase(10, 100, 200 + 14)] // g = 2, the highest
    [TestCase(100, 1000, 1000)] // the highest limit
    public void Observe_WindowEnds_FollowsTheGradient(int milliseconds, int limit, int expected)
    {
        var adaptive = new AdaptiveLimit(_clock);
        adaptive.Restore(limit, 0.1);

        Window(adaptive, milliseconds);

        adaptive.Limit.Should().BeInRange(expected - 1, expected); // the times are rounded
    }

    [Test]
    public void Observe_FewerThanTen_WaitsForThem()
    {
        var adaptive = new AdaptiveLimit(_clock);
        adaptive.Restore(20, 0.1);
        _clock.Advance(TimeSpan.FromSeconds(5));

        for (var i = 0; i < 9; i++)
        {
            adaptive.Observe(TimeSpan.FromSeconds(1), 9).Should().BeFalse();
        }
        adaptive.Limit.Should().Be(20);
        adaptive.Observe(TimeSpan.FromSeconds(1), 9).Should().BeTrue();
        adaptive.Limit.Should().Be(13);
    }

    [Test]
    public void BaseSeconds_TwentyFiveWithAtMostOneOther_IsTheirMedian()
    {
        var adaptive = new AdaptiveLimit(_clock);
        adaptive.Observe(TimeSpan.FromSeconds(9), 3); // beside two others
        for (var i = 1; i <= 25; i++)
        {
            adaptive.BaseSeconds.Should().Be(0);
            adaptive.Observe(TimeSpan.FromMilliseconds(i), 1 + i % 2);
        }
        adaptive.BaseSeconds.Should().BeApproximately(0.013, 0.0001);

        for (var i = 0; i < 100; i++)
        {
            adaptive.Observe(TimeSpan.FromSeconds(1), 1);
        }
        adaptive.BaseSeconds.Should().BeApproximately(0.013, 0.0001, "it is taken anew after half a minute");
        _clock.Advance(TimeSpan.FromSeconds(34));
        for (var i = 0; i < 25; i++)
        {
            adaptive.Observe(TimeSpan.FromSeconds(1), 1);
        }
        adaptive.BaseSeconds.Should().Be(1);
    }

    [Test]
    public void Observe_NothingIsKnown_StaysAndFallsOnlyWhereItIsFull()
    {
        var adaptive = new AdaptiveLimit(_clock);

        Window(adaptive, 1000, awaiting: 19);
        adaptive.Limit.Should().Be(20);
        Window(adaptive, 1000, awaiting: 20);
        adaptive.Limit.Should().Be(13);
    }

    [Test]
    public void TryAcquire_HeadHasArrived_CountsNoMore()
    {
        var backend = Auto("a");
        var pool = PoolOf(backend);
        var streams = Acquire(pool, 20);

        streams.ForEach(stream => stream.ObserveResponse());

        backend.InFlight.Should().Be(20);
        backend.Adaptive!.Awaiting.Should().Be(0);
        var more = Acquire(pool, 20);
        more.Should().HaveCount(20);
        more.Concat(streams).ToList().ForEach(lease => lease.Complete(AttemptOutcome.Succeeded));
        (backend.InFlight, backend.Adaptive.Awaiting).Should().Be((0, 0));
    }

    [Test]
    public async Task Queue_HeadHasArrived_GivesThePlaceToWhoWaits()
    {
        var pool = new BackendPool("pool", TestPolicies.Make(LoadBalancer.Configuration.Options.PolicyName.RoundRobin), [Auto("a")], 10);
        var leases = Acquire(pool, 20);
        var waiting = pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;
        waiting.IsCompleted.Should().BeFalse();

        leases[0].ObserveResponse(); // and goes on for hours

        (await waiting.WaitAsync(TimeLimits.Event)).Should().NotBeNull();
    }

    [TestCase(AttemptOutcome.Failed)]
    [TestCase(AttemptOutcome.Abandoned)]
    public void Complete_WithoutAResponse_FreesThePlaceAndIsNoSample(AttemptOutcome outcome)
    {
        var backend = Auto("a");
        var pool = PoolOf(backend);

        for (var i = 0; i < 30; i++)
        {
            Acquire(pool, 1)[0].Complete(outcome, "reset");
        }

        (backend.Adaptive!.Awaiting, backend.Adaptive.BaseSeconds).Should().Be((0, 0));
    }

    [Test]
    public void ObserveNoResponse_TimeOut_CountsWithItsTime()
    {
        var backend = Auto("a");
        var pool = PoolOf(backend);

        for (var i = 0; i < 25; i++)
        {
            var lease = Acquire(pool, 1)[0];
            _clock.Advance(TimeSpan.FromSeconds(2));
            lease.ObserveNoResponse();
            lease.Complete(AttemptOutcome.Abandoned);
        }

        backend.Adaptive!.BaseSeconds.Should().Be(2);
    }

    [Test]
    public void LimitTo_NumberAndBack_KeepsWhatIsCountedAndFound()
    {
        var backend = Auto("a");
        var pool = PoolOf(backend);
        backend.Adaptive!.Restore(50, 0.1);
        var lease = Acquire(pool, 1)[0];

        pool.Change(() => backend.LimitTo(3));
        backend.MaxInFlight.Should().Be(3);
        backend.Adaptive.Should().BeNull();
        lease.Complete(AttemptOutcome.Succeeded);
        pool.Change(() => backend.LimitTo(InFlightLimit.None));
        backend.MaxInFlight.Should().BeNull();
        pool.Change(() => backend.LimitTo(InFlightLimit.Auto));

        backend.MaxInFlight.Should().Be(50);
        backend.Adaptive!.Awaiting.Should().Be(0);
    }

    [Test]
    public void LimitTo_OtherThanBefore_IsWhatHolds()
    {
        var backend = Auto("a");
        var pool = PoolOf(backend);
        backend.Adaptive!.Restore(2, 0.1);

        pool.Change(() => backend.LimitTo(InFlightLimit.Auto)); // as each reload does
        pool.Change(() => backend.Agent = AgentReport.None);
        backend.Adaptive!.Restore(50, 0.1);
        var leases = Acquire(pool, 50);
        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();

        pool.Change(() => backend.LimitTo(3));
        leases.ForEach(lease => lease.Complete(AttemptOutcome.Succeeded));
        leases = Acquire(pool, 3);
        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();

        pool.Change(() => backend.LimitTo(InFlightLimit.None));
        leases.AddRange(Acquire(pool, 100));
        leases.ForEach(lease => lease.Complete(AttemptOutcome.Succeeded));
        backend.InFlight.Should().Be(0);
    }

    [Test]
    public async Task Observe_FromManyThreads_GoesOnMeasuring()
    {
        var backend = Auto("a");
        var adaptive = backend.Adaptive!;
        adaptive.Restore(100, 0.1);

        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            for (var i = 0; i < 20_000; i++)
            {
                _clock.Advance(TimeSpan.FromMilliseconds(100));
                adaptive.Observe(TimeSpan.FromSeconds(1), 5);
            }
        })));

        adaptive.Limit.Should().Be(2);
        Window(adaptive, 1);
        Window(adaptive, 1);
        adaptive.Limit.Should().BeGreaterThan(2);
    }

    [Test]
    public async Task Complete_Failure_TellsThePoolBeforeTheQueueIsServed()
    {
        var (dead, other) = (Auto("a"), Auto("b"));
        var pool = PoolOf(dead, other);
        dead.Adaptive!.Restore(2, 0.1);
        other.Adaptive!.Restore(2, 0.1);
        pool.RequestQueue.Limit = 10;
        var leases = Acquire(pool, 4);
        var waiting = pool.AcquireAsync(new SelectionContext(), TimeSpan.FromMinutes(1), _clock, default).AsTask();

        leases.First(lease => lease.Backend == dead).Complete(AttemptOutcome.ConnectFailed, "refused");

        waiting.IsCompleted.Should().BeFalse("the only place is at a backend that is down");
        leases.First(lease => lease.Backend == other).Complete(AttemptOutcome.Succeeded);
        (await waiting).Lease!.Backend.Should().Be(other);
    }

    [Test]
    public void Hold_BaseTimeIsOverdue_HoldsOneAtATimeUntilARequestNeedsThePlace()
    {
        var (pool, backends) = Overdue(3);
        var held = backends.Where(backend => backend.Adaptive!.IsHeld).ToList();
        held.Should().ContainSingle();

        var leases = Acquire(pool, 60);

        leases.Should().HaveCount(60, "nobody is refused for it");
        backends.Should().OnlyContain(backend => backend.InFlight == 20 && !backend.Adaptive!.IsHeld);
    }

    [Test]
    public void Hold_ClientIsBoundToIt_Ends()
    {
        var (pool, backends) = Overdue(2);
        var held = backends.Single(backend => backend.Adaptive!.IsHeld);
        held.WithInFlight(2);

        pool.TryAcquire(held, out _).Should().BeTrue();
        held.Adaptive!.IsHeld.Should().BeFalse();
    }

    [Test]
    public void Hold_AnotherGoesOut_Ends()
    {
        var (pool, backends) = Overdue(3);
        var held = backends.Single(backend => backend.Adaptive!.IsHeld);

        pool.Change(() => backends.First(backend => backend != held).AdminState = AdminState.Draining);

        held.Adaptive!.IsHeld.Should().BeFalse();
    }

    [Test]
    public void Hold_AnotherIsOut_DoesNotBegin()
    {
        var (_, backends) = Overdue(3, isOneOut: true);

        backends.Should().NotContain(backend => backend.Adaptive!.IsHeld);
    }

    [Test]
    public void Hold_TwentyFiveResponses_EndsWithTheBaseTime()
    {
        var (pool, backends) = Overdue(2);
        var held = backends.Single(backend => backend.Adaptive!.IsHeld);

        for (var i = 0; i < 25; i++)
        {
            pool.TryAcquire(held, out var lease).Should().BeTrue();
            _clock.Advance(TimeSpan.FromMilliseconds(50));
            lease!.ObserveResponse();
            lease.Complete(AttemptOutcome.Succeeded);
        }

        held.Adaptive!.IsHeld.Should().BeFalse();
        held.Adaptive.BaseSeconds.Should().BeApproximately(0.05, 0.0001);
    }

    // Backends that have always had more than one request beside another, for longer than such requests are waited for.
    private (BackendPool Pool, Backend[] Backends) Overdue(int count, bool isOneOut = false)
    {
        var backends = Enumerable.Range(0, count).Select(i => Auto($"b{i}")).ToArray();
        var pool = PoolOf(backends);
        if (isOneOut)
        {
            pool.Change(() => backends[^1].AdminState = AdminState.Draining);
        }
        _clock.Advance(TimeSpan.FromSeconds(4));
        foreach (var backend in backends[..(count - 1)])
        {
            for (var i = 0; i < 10; i++)
            {
                pool.EndAwaiting(backend, TimeSpan.FromSeconds(0.1), 5);
            }
        }
        return (pool, backends);
    }

    private void Window(AdaptiveLimit adaptive, int milliseconds, int awaiting = 9)
    {
        _clock.Advance(TimeSpan.FromSeconds(1));
        for (var i = 0; i < 10; i++)
        {
            adaptive.Observe(TimeSpan.FromMilliseconds(milliseconds), awaiting);
        }
    }

    private static List<BackendLease> Acquire(BackendPool pool, int count) =>
    [
        .. Enumerable.Range(0, count).Select(_ => pool.TryAcquire(new SelectionContext(), out var lease) ? lease : null)
            .OfType<BackendLease>(),
    ];

    private Backend Auto(string name)
    {
        var backend = Unprobed(name, time: _clock);
        backend.LimitTo(InFlightLimit.Auto);
        return backend;
    }
}
