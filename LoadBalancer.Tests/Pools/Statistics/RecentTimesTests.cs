using LoadBalancer.Pools.Statistics;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Pools.Statistics;

internal sealed class RecentTimesTests
{
    private readonly FakeTimeProvider _clock = new();

    [Test]
    public void Percentile_FewerAnswersThanAskedFor_IsUnknown()
    {
        var times = new RecentTimes(_clock);
        times.Observe(TimeSpan.FromMilliseconds(1));

        times.Percentile(50, 2).Should().BeNull();
        times.Percentile(50, 0).Should().NotBeNull();
        new RecentTimes(_clock).Percentile(50, 0).Should().BeNull();
    }

    [TestCase(0.000001)]
    [TestCase(0.00001)]
    [TestCase(0.0123)]
    [TestCase(0.5)]
    [TestCase(59.9)]
    [TestCase(99)]
    public void Percentile_OfOneTime_IsThatTimeOrUpToATenthMore(double seconds)
    {
        var times = new RecentTimes(_clock);
        times.Observe(TimeSpan.FromSeconds(seconds));

        times.Percentile(95, 1)!.Value.TotalSeconds.Should().BeInRange(seconds, Math.Max(seconds * 1.101, seconds + 0.000001));
    }

    [TestCase(50, 50)]
    [TestCase(95, 95)]
    [TestCase(99, 99)]
    public void Percentile_OfOneToAHundred_IsNear(double percentile, double milliseconds)
    {
        var times = new RecentTimes(_clock);
        for (var i = 1; i <= 100; i++)
        {
            times.Observe(TimeSpan.FromMilliseconds(i));
        }

        times.Percentile(percentile, 100)!.Value.TotalMilliseconds.Should().BeInRange(milliseconds, milliseconds * 1.101);
    }

    [Test]
    public void Percentile_AfterAWhile_ForgetsWhatWas()
    {
        var times = new RecentTimes(_clock);
        times.Observe(TimeSpan.FromSeconds(10));
        _clock.Advance(TimeSpan.FromSeconds(11));
        times.Observe(TimeSpan.FromSeconds(1));
        times.Percentile(99, 2)!.Value.TotalSeconds.Should().BeGreaterThanOrEqualTo(10, "the older half counts still");

        _clock.Advance(TimeSpan.FromSeconds(11));
        times.Percentile(99, 1)!.Value.TotalSeconds.Should().BeLessThan(2);
        _clock.Advance(TimeSpan.FromSeconds(60));
        times.Percentile(99, 1).Should().BeNull();
    }
}
