using LoadBalancer.Http.Forwarding;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

internal sealed class RetryBudgetTests
{
    private readonly FakeTimeProvider _clock = new();

    [Test]
    public void TryTakeRetry_NoTraffic_AllowsTen() => Take(new RetryBudget(0.2, _clock)).Should().Be(10);

    [Test]
    public void TryTakeRetry_MuchTraffic_AllowsTheShare()
    {
        var budget = new RetryBudget(0.2, _clock);
        for (var i = 0; i < 1000; i++)
        {
            budget.CountRequest();
        }

        Take(budget).Should().Be(200);
    }

    [Test]
    public void TryTakeRetry_AfterTheWindow_StartsAnew()
    {
        var budget = new RetryBudget(0.2, _clock);
        Take(budget);

        _clock.Advance(TimeSpan.FromSeconds(9));
        Take(budget).Should().Be(0);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Take(budget).Should().Be(10);
    }

    private static int Take(RetryBudget budget)
    {
        var taken = 0;
        while (taken < 10_000 && budget.TryTakeRetry())
        {
            taken++;
        }
        return taken;
    }
}
