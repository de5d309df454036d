using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

internal sealed class BufferBudgetTests
{
    [Test]
    public async Task Change_BeyondTheLimit_EndsThePeerWithTheMost()
    {
        var budget = new BufferBudget(1000, new FakeClock());
        var exceeded = new TaskCompletionSource<string>();
        var (small, large) = (budget.Join(() => exceeded.SetResult("small")), budget.Join(() => exceeded.SetResult("large")));
        large.Change(700);
        small.Change(300);
        exceeded.Task.IsCompleted.Should().BeFalse();

        small.Change(1);

        (await exceeded.Task.WaitAsync(TimeLimits.Event)).Should().Be("large");
        budget.Total.Should().Be(301, "the peer that is disconnected is counted no longer");
        large.Change(700);
        large.Leave();
        budget.Total.Should().Be(301);
    }

    [Test]
    public void Leave_WithBytes_GivesThemBack()
    {
        var budget = new BufferBudget(1000, new FakeClock());
        var share = budget.Join(() => Assert.Fail("there is room"));
        share.Change(900);

        share.Leave();
        share.Leave();

        budget.Total.Should().Be(0);
        budget.Join(() => Assert.Fail("there is room")).Change(1000);
    }

    [Test]
    public void Limit_IsLowered_HoldsFromTheNextChange()
    {
        var budget = new BufferBudget(1000, new FakeClock());
        budget.Join(() => { }).Change(900);

        budget.Limit = 100;
        budget.Join(() => { }).Change(1);

        budget.Total.Should().Be(1);
    }
}
