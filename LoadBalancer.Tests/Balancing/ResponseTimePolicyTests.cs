using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class ResponseTimePolicyTests
{
    private readonly FakeTimeProvider _clock = new();

    [TestCase(2)]
    [TestCase(3)]
    [TestCase(10)]
    public void Pick_OneIsTenTimesSlower_GetsHardlyAnythingButIsNotForgotten(int count)
    {
        var backends = Enumerable.Range(0, count).Select(i => Unprobed($"b{i}", time: _clock)).ToArray();
        var pool = PoolOf(new ResponseTimePolicy(new Random(1)), backends);

        for (var i = 0; i < 10_000; i++)
        {
            Serve(pool, backend => backend == backends[0] ? 100 : 10);
        }

        backends[0].Requests.Should().BeInRange(3, 100, "in two minutes it is tried some times, when its time has faded");
        backends[1..].Should().OnlyContain(backend => backend.Requests > 6_000 / count);
    }

    [Test]
    public void Pick_TheSlowOneRecovers_GetsItsShareAgain()
    {
        var (a, b) = (Unprobed("a", time: _clock), Unprobed("b", time: _clock));
        var pool = PoolOf(new ResponseTimePolicy(new Random(1)), a, b);
        a.ResponseTime.Observe(TimeSpan.FromSeconds(3));
        for (var i = 0; i < 10_000; i++)
        {
            Serve(pool, _ => 10);
        }
        var before = a.Requests;

        for (var i = 0; i < 1000; i++)
        {
            Serve(pool, _ => 10);
        }

        (a.Requests - before).Should().BeInRange(400, 600);
    }

    [Test]
    public void Pick_NotKnown_IsTriedByOneRequest()
    {
        var (known, unknown) = (Unprobed("a", time: _clock), Unprobed("b", time: _clock));
        var pool = PoolOf(new ResponseTimePolicy(new Random(1)), known, unknown);
        known.ResponseTime.Observe(TimeSpan.FromMilliseconds(1));

        TestPolicies.Shares(pool, 100).Should().Equal(0, 100);
        unknown.WithInFlight(1);
        TestPolicies.Shares(pool, 100).Should().Equal([100, 0], "it is taken to be as fast as the other, who has nothing in flight");
    }

    [Test]
    public void Pick_NotHeardOfForLong_IsTriedByOneRequestOnly()
    {
        var (a, b) = (Unprobed("a", time: _clock), Unprobed("b", time: _clock));
        var pool = PoolOf(new ResponseTimePolicy(new Random(1)), a, b);
        b.ResponseTime.Observe(TimeSpan.FromMilliseconds(10));
        _clock.Advance(TimeSpan.FromMinutes(10));
        a.ResponseTime.Observe(TimeSpan.FromMilliseconds(10));
        a.WithInFlight(2);

        TestPolicies.Shares(pool, 100).Should().Equal(0, 100);
        b.WithInFlight(3);
        TestPolicies.Shares(pool, 100).Should().Equal([100, 0], "what it took ten minutes ago does not make it a thousand times as fast");
    }

    [Test]
    public void Pick_EquallyFast_FollowsWhatIsInFlightByWeight()
    {
        var (a, b) = (Unprobed("a", weight: 3, time: _clock), Unprobed("b", time: _clock));
        var pool = PoolOf(new ResponseTimePolicy(new Random(1)), a, b);
        a.ResponseTime.Observe(TimeSpan.FromMilliseconds(10));
        b.ResponseTime.Observe(TimeSpan.FromMilliseconds(10));

        for (var i = 0; i < 400; i++)
        {
            pool.TryAcquire(new SelectionContext(), out _).Should().BeTrue();
        }

        a.InFlight.Should().BeInRange(298, 302);
    }

    private void Serve(BackendPool pool, Func<Backend, double> milliseconds)
    {
        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        _clock.Advance(TimeSpan.FromMilliseconds(milliseconds(lease!.Backend)));
        lease.ObserveResponse();
        lease.Complete(AttemptOutcome.Succeeded);
    }
}
