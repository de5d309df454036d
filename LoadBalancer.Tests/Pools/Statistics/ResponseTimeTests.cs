using LoadBalancer.Pools.Statistics;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Pools.Statistics;

internal sealed class ResponseTimeTests
{
    private readonly FakeTimeProvider _clock = new();

    [Test]
    public void Seconds_NothingObserved_IsZero() => new ResponseTime(_clock).Seconds.Should().Be(0);

    [TestCase(20)]
    [TestCase(26)]
    [TestCase(40)]
    [TestCase(60)]
    public void Seconds_IdleForWeeks_HasFadedAndNothingElse(int days)
    {
        var time = Observed(0.02);

        _clock.Advance(TimeSpan.FromDays(days));

        time.Seconds.Should().BeInRange(0, 1e-6);
        time.Observe(TimeSpan.FromSeconds(1));
        time.Seconds.Should().BeApproximately(1, 1e-6);
    }

    [Test]
    public void Observe_LongerTime_CountsAtOnce()
    {
        var time = Observed(0.01);

        time.Observe(TimeSpan.FromSeconds(2));

        time.Seconds.Should().BeApproximately(2, 1e-6);
    }

    [Test]
    public void Observe_ShorterTimes_PullItDownByTheTimeBetweenThem()
    {
        var (often, seldom) = (Observed(1), Observed(1));

        for (var i = 0; i < 100; i++)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            often.Observe(TimeSpan.FromMilliseconds(10));
        }
        seldom.Observe(TimeSpan.FromMilliseconds(10));

        seldom.Seconds.Should().BeApproximately(0.142, 0.001);
        often.Seconds.Should().BeApproximately(0.142, 0.005, "how many answers there were in between matters little");
    }

    [Test]
    public void Observe_AsLongAsWhatItHasFadedTo_IsThat()
    {
        var time = Observed(1);
        _clock.Advance(TimeSpan.FromSeconds(25));

        time.Observe(TimeSpan.FromMilliseconds(100));

        time.Seconds.Should().BeApproximately(0.1, 1e-6, "it is as fast as the others again, not half way");
    }

    [Test]
    public void Seconds_NothingHeard_Fades()
    {
        var time = Observed(1);

        _clock.Advance(TimeSpan.FromSeconds(20));

        time.Seconds.Should().BeApproximately(Math.Exp(-2), 1e-4);
    }

    [Test]
    public void Observe_NoTimeAtAll_IsKnown() => Observed(0).Seconds.Should().BeGreaterThan(0);

    [Test]
    public void RelativeTo_AnyAge_IsTheQuotientOfBoth()
    {
        var older = Observed(1);
        _clock.Advance(TimeSpan.FromSeconds(7));
        var newer = Observed(0.2);
        _clock.Advance(TimeSpan.FromSeconds(3));

        older.RelativeTo(newer).Should().BeApproximately(older.Seconds / newer.Seconds, 1e-6);
        newer.RelativeTo(older).Should().BeApproximately(newer.Seconds / older.Seconds, 1e-6);
    }

    [Test]
    public void RelativeTo_NotKnownOrMuchOlder_IsZeroAndInfinity()
    {
        var (unknown, old) = (new ResponseTime(_clock), Observed(1));
        _clock.Advance(TimeSpan.FromSeconds(31));
        var known = Observed(1);

        foreach (var nothing in new[] { unknown, old })
        {
            nothing.RelativeTo(known).Should().Be(0);
            known.RelativeTo(nothing).Should().Be(double.PositiveInfinity);
        }
        unknown.RelativeTo(new ResponseTime(_clock)).Should().Be(1);
    }

    // 2^32 milliseconds are 49 days.
    [Test]
    public void Seconds_AcrossAnOverflowOfItsClock_FadesAsEver()
    {
        var milliseconds = (long)_clock.GetElapsedTime(0).TotalMilliseconds;
        _clock.Advance(TimeSpan.FromMilliseconds(uint.MaxValue - (uint)milliseconds - 1000));
        var time = Observed(1);

        _clock.Advance(TimeSpan.FromSeconds(10));

        time.Seconds.Should().BeApproximately(1 / Math.E, 1e-3);
    }

    private ResponseTime Observed(double seconds)
    {
        var time = new ResponseTime(_clock);
        time.Observe(TimeSpan.FromSeconds(seconds));
        return time;
    }
}
