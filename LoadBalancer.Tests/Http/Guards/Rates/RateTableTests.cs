using LoadBalancer.Http.Guards.Rates;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Guards.Rates;

/// <summary>Rates of many keys.</summary>
internal sealed class RateTableTests
{
    private readonly FakeClock _clock = new();

    [Test]
    public void TryTake_Burst_IsGivenBackOneByOne()
    {
        var table = Table(permits: 10, burst: 3);

        Take(table, 1, 5).Should().Be(3);
        _clock.Advance(TimeSpan.FromMilliseconds(99));
        Take(table, 1, 5).Should().Be(0);
        _clock.Advance(TimeSpan.FromMilliseconds(1));
        Take(table, 1, 5).Should().Be(1);
        _clock.Advance(TimeSpan.FromHours(1));
        Take(table, 1, 5).Should().Be(3, "no more than the burst is saved up");
    }

    [Test]
    public void TryTake_Refused_SaysWhenAndTakesNothing()
    {
        var table = Table(permits: 2, burst: 1);
        table.TryTake(1, out _).Should().BeTrue();

        for (var i = 0; i < 100; i++)
        {
            table.TryTake(1, out var retryAfter).Should().BeFalse();
            retryAfter.Should().Be(TimeSpan.FromMilliseconds(500));
        }
        _clock.Advance(TimeSpan.FromMilliseconds(500));
        table.TryTake(1, out _).Should().BeTrue();
    }

    [Test]
    public void TryTake_LargestBurstOfTheLongestWindow_IsNoOverflow()
    {
        var table = new RateTable(1, TimeSpan.FromDays(24), int.MaxValue, 8, _clock);

        Take(table, 1, 100).Should().Be(100);
    }

    [Test]
    public void TryTake_OtherKeys_HaveTheirOwnCounts()
    {
        var table = Table(permits: 1, burst: 1);

        Enumerable.Range(0, 50).Count(key => table.TryTake((ulong)key, out _)).Should().Be(50);
        Enumerable.Range(0, 50).Count(key => table.TryTake((ulong)key, out _)).Should().Be(0);
    }

    [Test]
    public void TryTake_AMillionKeys_ThoseWithTheHighestDebtAreKept()
    {
        var table = Table(permits: 1, burst: 10, maxKeys: 1000);
        Take(table, 7, 20).Should().Be(10);

        for (var key = 1000UL; key < 1_001_000; key++)
        {
            table.TryTake(key, out _).Should().BeTrue("each of them is new");
        }

        Take(table, 7, 20).Should().Be(0, "the key that was limited is not forgotten before others");
    }

    [Test]
    public void TryTake_ManyThreads_NoPermitIsGivenTwice()
    {
        var table = Table(permits: 1, burst: 1000);
        var taken = 0;

        Parallel.For(0, 8, _ =>
        {
            for (var i = 0; i < 1000; i++)
            {
                if (table.TryTake(1, out var _))
                {
                    Interlocked.Increment(ref taken);
                }
            }
        });

        taken.Should().Be(1000);
    }

    private RateTable Table(int permits, int burst, int maxKeys = 100_000) => new(permits, TimeSpan.FromSeconds(1), burst, maxKeys, _clock);

    private static int Take(RateTable table, ulong key, int times) => Enumerable.Range(0, times).Count(_ => table.TryTake(key, out var _));
}
