using LoadBalancer.Health;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Health;

internal sealed class SlowStartTests
{
    [Test]
    public async Task Watch_Recovered_ItsShareGrowsToTheWhole()
    {
        var (clock, pool, a, b) = Start();
        pool.ObserveProbe(b, false, "down");
        pool.ObserveProbe(b, true, "ok");

        Share(pool, b).Should().BeApproximately(0.01, 0.005, "it begins with next to nothing");
        await ClimbAsync(clock, b, 0.5);
        Share(pool, b).Should().BeApproximately(1 / 3.0, 0.01, "half of its weight beside a whole one");
        await ClimbAsync(clock, b, 1);
        Share(pool, b).Should().BeApproximately(0.5, 0.001);
    }

    [Test]
    public void Watch_AtTheStart_NobodyIsSpared()
    {
        var (_, pool, a, b) = Start();

        (a.Ramp, b.Ramp).Should().Be((1, 1));
        Share(pool, b).Should().Be(0.5);
    }

    [Test]
    public async Task Watch_DownAgainInTheMiddle_BeginsAnew()
    {
        var (clock, pool, _, b) = Start();
        pool.ObserveProbe(b, false, "down");
        pool.ObserveProbe(b, true, "ok");
        await ClimbAsync(clock, b, 0.5);

        pool.ObserveProbe(b, false, "down");
        pool.ObserveProbe(b, true, "ok");

        b.Ramp.Should().Be(0.01);
        await ClimbAsync(clock, b, 0.05);
        b.Ramp.Should().Be(0.05, "the first climb has ended");
    }

    private static (FakeClock Clock, BackendPool Pool, Backend A, Backend B) Start()
    {
        var clock = new FakeClock();
        var (a, b) = (Probed("a", time: clock), Probed("b", time: clock));
        var pool = PoolOf(a, b);
        SlowStart.Watch(pool, TimeSpan.FromSeconds(20), clock, NullLogger.Instance);
        pool.ObserveProbe(a, true, "ok");
        pool.ObserveProbe(b, true, "ok");
        return (clock, pool, a, b);
    }

    // A step a second; the next one is only waited for when the last one was made.
    private static async Task ClimbAsync(FakeClock clock, Backend backend, double ramp)
    {
        while (backend.Ramp < ramp)
        {
            await Eventually.BeTrueAsync(() => clock.UntilNextTimer is not null, "the next step is waited for");
            var before = backend.Ramp;
            clock.Advance(TimeSpan.FromSeconds(1));
            await Eventually.BeTrueAsync(() => backend.Ramp > before, "a step was made");
        }
    }

    private static double Share(BackendPool pool, Backend backend)
    {
        const int Picks = 20_200; // full cycles of 101, 3 and 2
        return Enumerable.Range(0, Picks).Count(_ => pool.Snapshot.Policy.Pick(new SelectionContext()) == backend) / (double)Picks;
    }
}
