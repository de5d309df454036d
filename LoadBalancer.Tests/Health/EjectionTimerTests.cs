using LoadBalancer.Health;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Health;

internal sealed class EjectionTimerTests
{
    [Test]
    public async Task Watch_Ejected_ComesBackWhenItsTimeIsOver()
    {
        var clock = new FakeTimeProvider();
        var backend = Unprobed("a", time: clock);
        var pool = PoolOf(backend);
        EjectionTimer.Watch(pool, clock, NullLogger.Instance);
        pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        lease!.Complete(AttemptOutcome.ConnectFailed, "connection refused");

        clock.Advance(TimeSpan.FromSeconds(9.9));
        backend.Health.IsUp.Should().BeFalse();
        clock.Advance(TimeSpan.FromSeconds(0.1));

        await Eventually.BeTrueAsync(() => backend.Health.IsUp, "the ejection is over");
        pool.TryAcquire(new SelectionContext(), out _).Should().BeTrue();
    }
}
