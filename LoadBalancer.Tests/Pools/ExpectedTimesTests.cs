using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Pools;

internal sealed class ExpectedTimesTests
{
    private readonly FakeTimeProvider _clock = new();

    [TestCase(0, 0)]
    [TestCase(1, 1)]
    [TestCase(2, 1)]
    [TestCase(3, 2)]
    [TestCase(6, 2)]
    [TestCase(7, 3)]
    [TestCase(126, 6)]
    [TestCase(127, 7)]
    [TestCase(60_000, 7)]
    [TestCase(-1, 0)]
    public void Entry_AnyCount_IsThatOfItsPowerOfTwo(int inFlight, int entry) => ExpectedTimes.Entry(inFlight).Should().Be(entry);

    [Test]
    public void Seconds_SomeLoadsAreKnown_IsThatOfTheNearest()
    {
        var times = new ExpectedTimes(0);
        times.Seconds(0).Should().Be(0, "nothing is known");
        times.Observe(ExpectedTimes.Entry(1), 0.1, 0);
        times.Observe(ExpectedTimes.Entry(7), 0.4, 0);

        List<int> counts = [0, 1, 3, 7, 200];
        counts.Select(times.Seconds).Should().Equal(0.1f, 0.1f, 0.1f, 0.4f, 0.4f);
    }

    [Test]
    public void Observe_AnotherSample_MovesByAnEighth()
    {
        var times = new ExpectedTimes(0);

        times.Observe(0, 1, 0);
        times.Observe(0, 9, 0);
        times.Seconds(0).Should().Be(2);
        times.ObserveAtLeast(0, 1, 0);
        times.Seconds(0).Should().Be(2, "it may have taken longer");
        times.ObserveAtLeast(0, 10, 0);
        times.Seconds(0).Should().Be(3);
    }

    [Test]
    public void TryBeginTrial_NoSampleForHalfAMinute_ForgetsOnce()
    {
        var now = uint.MaxValue - 10_000; // the clock overflows meanwhile
        var times = new ExpectedTimes(now);
        times.TryBeginTrial(now).Should().BeTrue("it is new");
        times.TryBeginTrial(now).Should().BeFalse();
        times.Observe(0, 1, now);

        times.TryBeginTrial(now + 29_999).Should().BeFalse();
        times.TryBeginTrial(now - 1).Should().BeFalse();
        times.Seconds(0).Should().Be(1);
        times.TryBeginTrial(now + 30_000).Should().BeTrue();
        times.Seconds(0).Should().Be(0);
    }

    [TestCase(AttemptOutcome.Succeeded, 0.2)]
    [TestCase(AttemptOutcome.Abandoned, 0.2)]
    [TestCase(AttemptOutcome.Failed, 0.2 + 59.8 / 8)]
    [TestCase(AttemptOutcome.ConnectFailed, 0.2 + 59.8 / 8)]
    public void Lease_Ends_AFailureCountsAsATimeOut(AttemptOutcome outcome, double expected)
    {
        var (backend, pool) = OfHotCold();
        backend.Expected!.Observe(0, 0.2, 0);

        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        lease!.Complete(outcome, "reset");

        backend.Expected.Seconds(0).Should().BeApproximately((float)expected, 0.001f);
    }

    [Test]
    public void Lease_TimesOut_CountsOnceWithItsTime()
    {
        var (backend, pool) = OfHotCold();

        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        _clock.Advance(TimeSpan.FromSeconds(7));
        lease!.ObserveNoResponse();
        lease.Complete(AttemptOutcome.Failed, "timed out");

        backend.Expected!.Seconds(0).Should().Be(7);
    }

    [Test]
    public void Lease_SomeInFlightWhenItWasTaken_CountsUnderTheirNumber()
    {
        var (backend, pool) = OfHotCold();
        backend.Expected!.Observe(0, 0.2, 0);
        backend.WithInFlight(3);

        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        _clock.Advance(TimeSpan.FromSeconds(1));
        lease!.ObserveResponse();

        backend.Expected.Seconds(0).Should().Be(0.2f);
        backend.Expected.Seconds(3).Should().Be(1);
    }

    [Test]
    public void Expected_AnotherPolicy_IsNotKept()
    {
        var (backend, pool) = OfHotCold();
        backend.Expected.Should().NotBeNull();

        pool.Update(update => update.SetPolicy(new LoadBalancer.Balancing.RoundRobinPolicy()));

        backend.Expected.Should().BeNull();
    }

    private (Backend Backend, BackendPool Pool) OfHotCold()
    {
        var backend = Unprobed("a", time: _clock);
        return (backend, PoolOf(new LoadBalancer.Balancing.HotColdPolicy(new Random(1)), backend));
    }
}
