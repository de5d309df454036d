using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Pools;

/// <summary>Work that can wait for a backend.</summary>
internal sealed class AdmissionTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    private readonly FakeClock _clock = new();

    [Test]
    public async Task Acquire_RoomIsThere_IsAdmittedAtOnce()
    {
        var pool = PoolOf(Unprobed("a"));

        (await AcquireAsync(pool)).IsAdmitted.Should().BeTrue();
    }

    [Test]
    public async Task Acquire_NobodyIsEligible_IsRejected() =>
        (await AcquireAsync(PoolOf())).Rejection.Should().Be(Rejection.NoBackend);

    [Test]
    public async Task Acquire_EveryBackendWasTried_IsRejected()
    {
        var a = Unprobed("a");

        (await AcquireAsync(Queued(5, a), new SelectionContext([a]))).Rejection.Should().Be(Rejection.NoBackend);
    }

    [Test]
    public async Task Acquire_FullAndNoQueue_IsRejected()
    {
        var pool = Queued(0, Unprobed("a", maxInFlight: 1));
        await AcquireAsync(pool);

        (await AcquireAsync(pool)).Rejection.Should().Be(Rejection.QueueFull);
    }

    [Test]
    public async Task Acquire_Full_WaitsForRoom()
    {
        var pool = Queued(5, Unprobed("a", maxInFlight: 1));
        var first = await AcquireAsync(pool);
        var second = AcquireAsync(pool);
        (second.IsCompleted, pool.IsIdle).Should().Be((false, false));

        first.Lease!.Complete(AttemptOutcome.Succeeded);

        (await second).IsAdmitted.Should().BeTrue();
    }

    [Test]
    public async Task Acquire_FullForTooLong_IsRejected()
    {
        var pool = Queued(5, Unprobed("a", maxInFlight: 1));
        await AcquireAsync(pool);
        var second = AcquireAsync(pool);

        _clock.Advance(Timeout - TimeSpan.FromMilliseconds(1));
        second.IsCompleted.Should().BeFalse();
        _clock.Advance(TimeSpan.FromMilliseconds(1));

        (await second).Rejection.Should().Be(Rejection.QueueTimeout);
    }

    [Test]
    public async Task Acquire_SomebodyWaitsAlready_DoesNotGoPast()
    {
        var (a, b) = (Unprobed("a", maxInFlight: 1), Unprobed("b", maxInFlight: 1));
        var pool = Queued(5, a, b);
        pool.TryAcquire(a, out _).Should().BeTrue();
        pool.TryAcquire(b, out var lease).Should().BeTrue();
        var waiting = AcquireAsync(pool);

        pool.TryAcquireInTurn(new SelectionContext(), out _).Should().BeFalse();
        lease!.Dispose();
        (await waiting).Lease!.Backend.Should().Be(b);
    }

    [Test]
    public async Task Acquire_FirstProbesAreUnderWay_WaitsForThemWithoutLimit()
    {
        var backend = Probed("a");
        var pool = PoolOf(backend);
        var waiting = AcquireAsync(pool);
        _clock.Advance(10 * Timeout);
        (waiting.IsCompleted, pool.IsIdle).Should().Be((false, false));

        pool.ObserveProbe(backend, true, "is up");

        (await waiting).Lease!.Backend.Should().Be(backend);
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task Acquire_CancelledWhileItWaits_LeavesNothingBehind(bool isForProbes)
    {
        using var gone = new CancellationTokenSource();
        var pool = isForProbes ? PoolOf(Probed("a")) : Queued(5, Unprobed("a", maxInFlight: 1));
        var lease = isForProbes ? null : (await AcquireAsync(pool)).Lease;
        var waiting = pool.AcquireAsync(new SelectionContext(), Timeout, _clock, gone.Token).AsTask();

        await gone.CancelAsync();

        (await waiting).Should().Be(new Admission(null, Rejection.Cancelled));
        lease?.Dispose();
        pool.IsIdle.Should().BeTrue();
        _clock.UntilNextTimer.Should().BeNull();
    }

    private Task<Admission> AcquireAsync(BackendPool pool, SelectionContext context = default) =>
        pool.AcquireAsync(context, Timeout, _clock, default).AsTask();

    private static BackendPool Queued(int limit, params Backend[] backends) => new("pool", new RoundRobinPolicy(), [.. backends], limit);
}
