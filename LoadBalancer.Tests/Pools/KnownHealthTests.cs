using LoadBalancer.Health;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Pools;

/// <summary>Health that goes on in another process.</summary>
internal sealed class KnownHealthTests
{
    private readonly FakeTimeProvider _clock = new();

    [TestCase(true)]
    [TestCase(false)]
    public void Restore_Probed_IsAsItWas(bool isUp)
    {
        var before = TestBackends.Probed("b", time: _clock).Health;
        before.ObserveProbe(isUp, "GET / answered 200");

        var after = After(before, new HealthRules { Probed = true });

        (after.IsUp, after.IsPending, after.Reason).Should().Be((isUp, false, "GET / answered 200"));
    }

    [Test]
    public void Restore_NotProbedYet_IsPending() =>
        After(TestBackends.Probed("b", time: _clock).Health, new HealthRules { Probed = true }).IsPending.Should().BeTrue();

    [Test]
    public void Restore_DownByProbesThatThereAreNoMore_IsUp()
    {
        var before = TestBackends.Probed("b", time: _clock).Health;
        before.ObserveProbe(false, "connection refused");

        After(before, new HealthRules()).IsUp.Should().BeTrue();
    }

    [Test]
    public async Task Restore_Ejected_ComesBackWhenTheRestOfTheTimeIsOver()
    {
        var before = TestBackends.Unprobed("b", time: _clock).Health;
        before.Eject();
        _clock.Advance(TimeSpan.FromSeconds(4));

        var after = After(before, new HealthRules());
        var pool = TestBackends.PoolOf(new Backend("b", new("http", "127.0.0.1", 1), after));
        EjectionTimer.Watch(pool, _clock, NullLogger.Instance);

        (after.IsUp, after.EjectionLeft).Should().Be((false, TimeSpan.FromSeconds(6)));
        _clock.Advance(TimeSpan.FromSeconds(5));
        after.IsUp.Should().BeFalse();
        _clock.Advance(TimeSpan.FromSeconds(1));
        await Eventually.BeTrueAsync(() => after.IsUp, "the ejection is over");
    }

    [Test]
    public void Restore_EjectedAgainSoon_StaysAwayTwiceAsLong()
    {
        var before = TestBackends.Unprobed("b", time: _clock).Health;
        before.Eject();
        _clock.Advance(TimeSpan.FromSeconds(10));
        before.EndEjection();
        _clock.Advance(TimeSpan.FromSeconds(5));

        var after = After(before, new HealthRules());
        after.Eject();

        after.EjectionTime.Should().Be(TimeSpan.FromSeconds(20));
    }

    [Test]
    public void Restore_Silent_IsDownUntilAHeartbeat()
    {
        var rules = new HealthRules { Heartbeats = true };
        var before = new BackendHealth(rules, _clock);
        var after = After(before, rules);

        (after.IsUp, after.Reason).Should().Be((false, "no heartbeat yet"));
        before.ObserveHeartbeat(true, "heartbeat");
        After(before, rules).IsUp.Should().BeTrue();
    }

    [Test]
    public void Restore_NothingKnown_BeginsAnew()
    {
        var health = new BackendHealth(new HealthRules { Probed = true }, _clock);

        health.Restore(new KnownHealth { EjectionLeft = double.MaxValue, Ejection = double.NaN, Ejections = -5 });

        (health.IsUp, health.IsPending, health.EjectionTime).Should().Be((false, true, TimeSpan.Zero));
    }

    private BackendHealth After(BackendHealth before, HealthRules rules)
    {
        var after = new BackendHealth(rules, _clock);
        after.Restore(before.ToKnown());
        return after;
    }
}
