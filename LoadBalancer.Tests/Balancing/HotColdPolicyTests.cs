using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class HotColdPolicyTests
{
    private readonly FakeTimeProvider _clock = new();

    [Test]
    public void Pick_AllAreCold_IsTheOneThatIsExpectedToBeTheFastest()
    {
        TestPolicies.Shares(Pool(out _, out _), 3200)[0].Should().BeInRange(50, 150,
            "one time in 32 all five that are drawn are the slow one");
    }

    [Test]
    public void Pick_TheFastOneIsHot_IsTheOtherEvenIfItIsSlower()
    {
        var pool = Pool(out _, out var fast);
        fast.WithInFlight(1); // usual is at most 1/2, so hot is who has 1

        TestPolicies.Shares(pool, 50)[1].Should().BeLessThan(10);
    }

    [Test]
    public void Pick_AllAreHot_IsTheOneWithTheLeastInFlightForItsWeight()
    {
        var pool = Pool(out var slow, out var fast, weightOfSlow: 3);
        slow.WithInFlight(40);
        fast.WithInFlight(20);

        // Before much is known of what is usual: so many are hot.
        TestPolicies.Shares(pool, 5)[1].Should().BeLessThanOrEqualTo(1);
    }

    [Test]
    public void Pick_UsualIsHigh_DoesNotTakeItForHot()
    {
        var pool = Pool(out var slow, out var fast);
        slow.WithInFlight(10);
        fast.WithInFlight(12); // 1.5 times the mean of 11 is 16.5
        TestPolicies.Shares(pool, 2000); // learns what is usual

        TestPolicies.Shares(pool, 100)[1].Should().BeGreaterThan(80);
    }

    [Test]
    public void Pick_NothingIsKnownOfOne_TriesItWithOneRequestAtATime()
    {
        var pool = Pool(out _, out _);
        var unknown = Unprobed("unknown", time: _clock);
        pool.SetMembers([.. pool.Snapshot.Members, unknown]);
        unknown.Expected!.TryBeginTrial(ExpectedTimes.Milliseconds(_clock));

        TestPolicies.Shares(pool, 300)[2].Should().BeGreaterThan(200, "it is drawn seven times in eight");
        unknown.WithInFlight(1);
        TestPolicies.Shares(pool, 300)[2].Should().BeLessThan(10);
    }

    // So that a slow one that has recovered is found, however many there are.
    [TestCase(2)]
    [TestCase(100)]
    [TestCase(3000)]
    public void Pick_HundredRequestsASecond_ReachesEachWithinAMinute(int count)
    {
        var backends = Enumerable.Range(0, count).Select(i => Unprobed($"b{i}", time: _clock)).ToArray();
        var pool = PoolOf(new HotColdPolicy(new Random(1)), backends);
        var last = new TimeSpan[count];
        var longest = TimeSpan.Zero;

        for (var now = TimeSpan.Zero; now < TimeSpan.FromMinutes(4); now += TimeSpan.FromMilliseconds(10))
        {
            pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
            longest = TimeSpan.FromTicks(Math.Max(longest.Ticks, (now - last[lease!.Backend.Slot]).Ticks));
            last[lease.Backend.Slot] = now;
            _clock.Advance(TimeSpan.FromMilliseconds(10));
            lease.Backend.Expected!.Observe(0, lease.Backend.Slot % 4 == 0 ? 10 : 0.01, ExpectedTimes.Milliseconds(_clock));
            lease.Complete(AttemptOutcome.Abandoned);
        }

        longest = last.Select(at => TimeSpan.FromMinutes(4) - at).Append(longest).Max();
        longest.Should().BeLessThan(TimeSpan.FromMinutes(1));
    }

    [Test]
    public void Pick_TheSlowOneRecovers_GetsRequestsAgain()
    {
        var backends = Enumerable.Range(0, 20).Select(i => Unprobed($"b{i}", time: _clock)).ToArray();
        var pool = PoolOf(new HotColdPolicy(new Random(1)), backends);
        void Serve(int requests, double secondsOfFirst)
        {
            for (var i = 0; i < requests; i++)
            {
                pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
                _clock.Advance(TimeSpan.FromMilliseconds(10));
                lease!.Backend.Expected!.Observe(
                    0, lease.Backend == backends[0] ? secondsOfFirst : 0.01, ExpectedTimes.Milliseconds(_clock));
                lease.Complete(AttemptOutcome.Abandoned);
            }
        }
        Serve(1000, 60);
        var before = backends[0].Requests;

        Serve(5000, 0.005);

        (backends[0].Requests - before).Should().BeGreaterThan(500);
    }

    // Of two that have answered within 0.4 and 0.1 s just now.
    private BackendPool Pool(out Backend slow, out Backend fast, int weightOfSlow = 1)
    {
        (slow, fast) = (Unprobed("slow", weightOfSlow, time: _clock), Unprobed("fast", time: _clock));
        var pool = PoolOf(new HotColdPolicy(new Random(1)), slow, fast);
        slow.Expected!.Observe(0, 0.4, ExpectedTimes.Milliseconds(_clock));
        fast.Expected!.Observe(0, 0.1, ExpectedTimes.Milliseconds(_clock));
        return pool;
    }
}
