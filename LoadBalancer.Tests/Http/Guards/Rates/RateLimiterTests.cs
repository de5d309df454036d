using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Guards.Rates;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Guards.Rates;

/// <summary>A limit that several nodes share.</summary>
[Parallelizable(ParallelScope.All)]
internal sealed class RateLimiterTests
{
    [TestCase(1, 10)]
    [TestCase(3, 3)]
    [TestCase(100, 1)]
    public void Share_AmongNodes_DividesWhatMayComeAtOnce(int nodes, int expected)
    {
        var limiter = new RateLimiter(new RateLimitOptions { Key = "All", Permits = 10 }, new FakeTimeProvider());

        limiter.Share(nodes);

        Enumerable.Range(0, 20).Count(_ => Enter(limiter)).Should().Be(expected);
    }

    [TestCase(1, 8)]
    [TestCase(2, 4)]
    [TestCase(8, 1)]
    [TestCase(100, 1)]
    public void Share_AmongNodes_DividesTheRate(int nodes, int expected)
    {
        var clock = new FakeTimeProvider();
        var limiter = new RateLimiter(new RateLimitOptions { Key = "All", Permits = 8 }, clock);
        limiter.Share(nodes);
        while (Enter(limiter))
        {
        }

        clock.Advance(TimeSpan.FromSeconds(1));

        Enumerable.Range(0, 20).Count(_ => Enter(limiter)).Should().Be(expected);
    }

    [Test]
    public void Share_RequestsAreInFlight_HoldsForThoseThatCome()
    {
        var limiter = new RateLimiter(new RateLimitOptions { Key = "All", MaxInFlight = 5 }, new FakeTimeProvider());
        var before = Enumerable.Range(0, 5).Count(_ => Enter(limiter));

        limiter.Share(2);
        var crowded = Enter(limiter);
        for (var i = 0; i < 4; i++)
        {
            limiter.Release(0);
        }
        var free = (Enter(limiter), Enter(limiter));
        limiter.Share(1);

        (before, crowded, free).Should().Be((5, false, (true, false)));
        Enter(limiter).Should().BeTrue();
    }

    private static bool Enter(RateLimiter limiter) => limiter.TryEnter(new DefaultHttpContext().Request, null, null, out _) is null;
}
