using LoadBalancer.Balancing;
using LoadBalancer.Pools;

using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Pools;

internal sealed class RequestQueueTests
{
    [Test]
    public async Task TryEnter_RoomIsFree_IsServedAtOnce()
    {
        var pool = RoomyPool(1, Unprobed("a", maxInFlight: 1));

        var lease = await pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;

        lease!.Backend.Name.Should().Be("a");
        pool.RequestQueue.Count.Should().Be(0);
    }

    [Test]
    public void TryEnter_NoPlaceLeft_IsNull()
    {
        var pool = RoomyPool(0, Unprobed("a", maxInFlight: 1));
        _ = Acquire(pool);

        pool.RequestQueue.TryEnqueue(new SelectionContext(), default).Should().BeNull();
    }

    [Test]
    public async Task TryEnter_NoPlaceLeftButRoomForWhoNobodyWaits_IsServedAtOnce()
    {
        var (a, b) = (Unprobed("a", maxInFlight: 1), Unprobed("b", maxInFlight: 1));
        var pool = RoomyPool(1, a, b);
        pool.TryAcquire(b, out _).Should().BeTrue();
        _ = pool.RequestQueue.TryEnqueue(new SelectionContext([a]), default)!;

        var lease = await pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;

        lease!.Backend.Should().Be(a, "who waits was tried there, and waits for b");
    }

    [Test]
    public async Task Complete_SomebodyWaits_GetsWhatIsGivenBack()
    {
        var pool = RoomyPool(2, Unprobed("a", maxInFlight: 1));
        var served = Acquire(pool);
        var first = pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;
        var second = pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;

        served.Complete(AttemptOutcome.Succeeded);

        (await first)!.Backend.Name.Should().Be("a");
        second.IsCompleted.Should().BeFalse("it is not its turn");
        pool.RequestQueue.Count.Should().Be(1);
    }

    [Test]
    public async Task Complete_TheFirstCannotUseIt_IsGivenToTheNext()
    {
        var (a, b) = (Unprobed("a", maxInFlight: 1), Unprobed("b", maxInFlight: 1));
        var pool = RoomyPool(2, a, b);
        var (one, other) = (Acquire(pool), Acquire(pool));
        var first = pool.RequestQueue.TryEnqueue(new SelectionContext([a]), default)!;
        var second = pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;

        (one.Backend == a ? one : other).Complete(AttemptOutcome.Succeeded);

        (await second)!.Backend.Should().Be(a);
        first.IsCompleted.Should().BeFalse();
    }

    [Test]
    public async Task Cancel_WhileWaiting_EndsWithNothingAndFreesThePlace()
    {
        var pool = RoomyPool(1, Unprobed("a", maxInFlight: 1));
        var served = Acquire(pool);
        using var leave = new CancellationTokenSource();
        var waiting = pool.RequestQueue.TryEnqueue(new SelectionContext(), leave.Token)!;

        await leave.CancelAsync();

        (await waiting).Should().BeNull();
        pool.RequestQueue.Count.Should().Be(0);
        served.Complete(AttemptOutcome.Succeeded);
        Acquire(pool).Backend.InFlight.Should().Be(1);
    }

    [Test]
    public async Task Change_NobodyIsLeft_EndsTheWaitWithNothing()
    {
        var backend = Unprobed("a", maxInFlight: 1);
        var pool = RoomyPool(1, backend);
        _ = Acquire(pool);
        var waiting = pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;

        pool.Change(() => backend.AdminState = AdminState.Draining);

        (await waiting).Should().BeNull();
    }

    [Test]
    public async Task Recovery_OfAnotherBackend_ServesWhoWaits()
    {
        var (a, b) = (Unprobed("a", maxInFlight: 1), Unprobed("b", maxInFlight: 1));
        var pool = RoomyPool(1, a, b);
        pool.Change(() => b.AdminState = AdminState.Disabled);
        _ = Acquire(pool);
        var waiting = pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;

        pool.Change(() => b.AdminState = AdminState.Ready);

        (await waiting)!.Backend.Should().Be(b);
    }

    [Test]
    public async Task TryEnter_ManyThreads_NobodyIsForgotten()
    {
        var backend = Unprobed("a", maxInFlight: 2);
        var pool = RoomyPool(10_000, backend);

        await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(async () =>
        {
            for (var i = 0; i < 2_000; i++)
            {
                var lease = pool.TryAcquire(new SelectionContext(), out var free)
                    ? free
                    : await pool.RequestQueue.TryEnqueue(new SelectionContext(), default)!;
                backend.InFlight.Should().BeInRange(1, 2);
                lease!.Complete(AttemptOutcome.Succeeded);
            }
        })));

        (backend.InFlight, backend.Requests, pool.RequestQueue.Count).Should().Be((0, 32_000, 0));
    }

    private static BackendPool RoomyPool(int places, params Backend[] backends) =>
        new("pool", new RoundRobinPolicy(), [.. backends], places);

    private static BackendLease Acquire(BackendPool pool) =>
        pool.TryAcquire(new SelectionContext(), out var lease) ? lease : throw new AssertionException("no backend had room");
}
