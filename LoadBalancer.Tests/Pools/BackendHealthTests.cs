using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Pools;

internal sealed class BackendHealthTests
{
    private readonly FakeTimeProvider _clock = new();

    [TestCase(true, false)]
    [TestCase(false, false)]
    [TestCase(null, true)]
    public void New_AddressIsKnownFromProbes_GoesOnFromThere(bool? wasUp, bool isPending)
    {
        var known = new BackendHealth(new HealthRules { Probed = true }, new FakeClock());
        if (wasUp is { } succeeded)
        {
            known.ObserveProbe(succeeded, "observed");
        }

        var health = new BackendHealth(new HealthRules { Probed = true }, new FakeClock(), known);

        (health.IsUp, health.IsPending, health.Reason).Should().Be((wasUp == true, isPending, isPending ? "not probed yet" : "observed"));
        new BackendHealth(new HealthRules(), new FakeClock(), known).IsUp.Should().BeTrue("without probes a backend is up");
    }

    [Test]
    public void IsUp_WithoutProbes_IsTrueFromTheStart() => Health(new()).IsUp.Should().BeTrue();

    [Test]
    public void IsUp_WithProbesBeforeTheFirstResult_IsFalseAndPending()
    {
        var health = Health(new() { Probed = true });

        health.IsUp.Should().BeFalse();
        health.IsPending.Should().BeTrue();
    }

    [Test]
    public void IsUp_WithHeartbeatsBeforeTheFirst_IsFalseAndNotPending()
    {
        var health = Health(new() { Heartbeats = true, Probed = true });

        health.IsUp.Should().BeFalse();
        health.IsPending.Should().BeFalse("it is unknown when the first heartbeat will come");
        health.Reason.Should().Be("no heartbeat yet");
    }

    [Test]
    public void ObserveHeartbeat_AliveThenSilent_FlipsEachTime()
    {
        var health = Health(new() { Heartbeats = true });

        health.ObserveHeartbeat(true, "registered").Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeTrue();
        health.Reason.Should().Be("registered");
        health.ObserveHeartbeat(true, "heartbeat").Should().Be(HealthChanges.None);
        health.ObserveHeartbeat(false, "silent").Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeFalse();
        health.Reason.Should().Be("silent");
    }

    [Test]
    public void ObserveHeartbeat_AliveButProbeFailed_StaysDown()
    {
        var health = Health(new() { Heartbeats = true, Probed = true });

        health.ObserveHeartbeat(true, "heartbeat");
        health.IsPending.Should().BeTrue();
        health.ObserveProbe(false, "refused");

        health.IsUp.Should().BeFalse();
        health.ObserveProbe(true, "connected");
        health.IsUp.Should().BeTrue();
    }

    [Test]
    public void ObserveHeartbeat_AliveButConnectFailed_StaysOutUntilTheEjectionIsOver()
    {
        var health = Health(new() { Heartbeats = true });
        health.ObserveHeartbeat(true, "heartbeat");

        health.ObserveAttempt(AttemptOutcome.ConnectFailed, "refused", 1).Should().Be(HealthChanges.Flipped | HealthChanges.Ejected);
        health.ObserveHeartbeat(true, "heartbeat").Should().Be(HealthChanges.None);

        health.IsUp.Should().BeFalse();
        health.EndEjection().Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeTrue();
    }

    [Test]
    public void SetRules_HeartbeatsNoLongerWanted_IsUpWithoutThem()
    {
        var health = Health(new() { Heartbeats = true });

        health.SetRules(new()).Should().Be(HealthChanges.Flipped);
        health.SetRules(new() { Heartbeats = true }).Should().Be(HealthChanges.None, "there is time for the first one");
        health.IsUp.Should().BeTrue();
    }

    [TestCase(true)]
    [TestCase(false)]
    public void ObserveProbe_FirstResult_DecidesAloneAndFlips(bool succeeded)
    {
        var health = Health(new() { Probed = true, Rise = 3, Fall = 3 });

        health.ObserveProbe(succeeded, "why").Should().Be(HealthChanges.Flipped);

        health.IsUp.Should().Be(succeeded);
        health.IsPending.Should().BeFalse();
        health.Reason.Should().Be("why");
    }

    [Test]
    public void ObserveProbe_FailuresBelowFall_DoNotFlip()
    {
        var health = UpByProbe(new() { Probed = true, Fall = 3 });

        health.ObserveProbe(false, "1").Should().Be(HealthChanges.None);
        health.ObserveProbe(false, "2").Should().Be(HealthChanges.None);
        health.IsUp.Should().BeTrue();
        health.ObserveProbe(false, "3").Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeFalse();
    }

    [Test]
    public void ObserveProbe_SuccessBetweenFailures_StartsCountingAnew()
    {
        var health = UpByProbe(new() { Probed = true, Fall = 2 });

        health.ObserveProbe(false, "1");
        health.ObserveProbe(true, "ok");
        health.ObserveProbe(false, "2");

        health.IsUp.Should().BeTrue();
    }

    [Test]
    public void ObserveProbe_SuccessesBelowRise_DoNotFlip()
    {
        var health = UpByProbe(new() { Probed = true, Rise = 2 });
        health.ObserveProbe(false, "down");

        health.ObserveProbe(true, "1").Should().Be(HealthChanges.None);
        health.ObserveProbe(true, "2").Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeTrue();
    }

    [Test]
    public void ObserveProbe_SameResultAgain_DoesNotFlip() =>
        UpByProbe(new() { Probed = true }).ObserveProbe(true, "ok").Should().Be(HealthChanges.None);

    [Test]
    public void ObserveAttempt_ConnectFailedWhereProbed_IsDownAtOnceAndUpByProbe()
    {
        var health = UpByProbe(new() { Probed = true, Fall = 5 });

        health.ObserveAttempt(AttemptOutcome.ConnectFailed, "connection refused", 1).Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeFalse();
        health.Reason.Should().Be("connection refused");

        health.ObserveProbe(true, "ok").Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeTrue();
    }

    [Test]
    public void ObserveAttempt_ConnectFailedWhereNotProbed_EjectsUntilItsTimeIsOver()
    {
        var health = Health(new());

        health.ObserveAttempt(AttemptOutcome.ConnectFailed, "connection refused", 1).Should()
            .Be(HealthChanges.Flipped | HealthChanges.Ejected);
        health.IsUp.Should().BeFalse();

        health.EndEjection().Should().Be(HealthChanges.Flipped);
        health.IsUp.Should().BeTrue();
    }

    [Test]
    public void ObserveAttempt_FailuresInARow_EjectAtTheLimit()
    {
        var health = Health(new() { Failures = 3 });

        health.ObserveAttempt(AttemptOutcome.Failed, "1", 1).Should().Be(HealthChanges.None);
        health.ObserveAttempt(AttemptOutcome.Failed, "2", 1).Should().Be(HealthChanges.None);
        health.ObserveAttempt(AttemptOutcome.Failed, "reset", 1).Should().Be(HealthChanges.Ejectable);
        health.Eject().Should().Be(HealthChanges.Flipped | HealthChanges.Ejected);
        health.Reason.Should().Be("3 failures in a row, last: reset");
    }

    [Test]
    public void ObserveAttempt_SuccessBetweenFailures_StartsCountingAnew()
    {
        var health = Health(new() { Failures = 2 });

        health.ObserveAttempt(AttemptOutcome.Failed, "1", 1);
        health.ObserveAttempt(AttemptOutcome.Succeeded, "", 1);

        health.ObserveAttempt(AttemptOutcome.Failed, "2", 1).Should().Be(HealthChanges.None);
    }

    [Test]
    public void ObserveAttempt_FailuresFurtherApartThanTheWindow_DoNotEject()
    {
        var health = Health(new() { Failures = 2, Window = TimeSpan.FromSeconds(10) });

        health.ObserveAttempt(AttemptOutcome.Failed, "1", 1);
        _clock.Advance(TimeSpan.FromSeconds(11));

        health.ObserveAttempt(AttemptOutcome.Failed, "2", 1).Should().Be(HealthChanges.None);
    }

    [Test]
    public void ObserveAttempt_Abandoned_NeverCounts()
    {
        var health = Health(new() { Failures = 1 });

        health.ObserveAttempt(AttemptOutcome.Abandoned, "client gone", 1).Should().Be(HealthChanges.None);
        health.IsUp.Should().BeTrue();
    }

    [Test]
    public void EndEjection_WhileProbesSayDown_StaysDown()
    {
        var health = UpByProbe(new() { Probed = true, Failures = 1 });
        health.ObserveAttempt(AttemptOutcome.Failed, "reset", 1);
        health.Eject();
        health.ObserveProbe(false, "down");

        health.EndEjection().Should().Be(HealthChanges.None);
        health.IsUp.Should().BeFalse();
    }

    [Test]
    public void ObserveProbe_WhileEjected_StaysDown()
    {
        var health = UpByProbe(new() { Probed = true, Failures = 1 });
        health.ObserveAttempt(AttemptOutcome.Failed, "reset", 1);
        health.Eject();

        health.ObserveProbe(true, "ok").Should().Be(HealthChanges.None);
        health.IsUp.Should().BeFalse();
        health.Reason.Should().Contain("reset");
    }

    [Test]
    public void ObserveAttempt_EjectedWhileDownByProbe_StillReportsTheEjection()
    {
        var health = UpByProbe(new() { Probed = true, Failures = 1 });
        health.ObserveProbe(false, "down");

        health.ObserveAttempt(AttemptOutcome.Failed, "reset", 1);
        health.Eject().Should().Be(HealthChanges.Ejected, "the caller has to end the ejection later");
    }

    [Test]
    public void ObserveAttempt_EverySecondFails_EjectsOnceThereWereEnough()
    {
        var health = Health(new() { Failures = 3, FailureShare = 0.5, LeastAttempts = 20 });

        for (var i = 1; i <= 21; i++) // The window begins with the first failure, which is the second attempt.
        {
            health.ObserveAttempt(i % 2 == 0 ? AttemptOutcome.Failed : AttemptOutcome.Succeeded, "reset", i).Should()
                .Be(HealthChanges.None);
        }
        health.ObserveAttempt(AttemptOutcome.Failed, "reset", 22).Should().Be(HealthChanges.Ejectable);

        health.Eject();
        health.Reason.Should().Be("11 of 21 attempts failed, last: reset");
    }

    [Test]
    public void ObserveAttempt_ShareSpreadOverLongerThanTheWindow_DoesNotEject()
    {
        var health = Health(new() { Failures = 3, FailureShare = 0.5, Window = TimeSpan.FromSeconds(10) });

        for (var i = 1; i <= 200; i++)
        {
            health.ObserveAttempt(i % 2 == 0 ? AttemptOutcome.Failed : AttemptOutcome.Succeeded, "reset", i).Should()
                .Be(HealthChanges.None);
            _clock.Advance(TimeSpan.FromSeconds(1));
        }
    }

    [Test]
    public void Eject_AgainAndAgain_IsOutForTwiceAsLongUpToALimit()
    {
        var health = Health(new() { Ejection = TimeSpan.FromSeconds(10), LongestEjection = TimeSpan.FromSeconds(60) });
        var times = new List<double>();

        for (var i = 0; i < 5; i++)
        {
            health.Eject();
            times.Add(health.EjectionTime.TotalSeconds);
            _clock.Advance(health.EjectionTime);
            health.EndEjection();
        }

        times.Should().Equal(10, 20, 40, 60, 60);
    }

    [Test]
    public void Eject_AfterItWasWellForAsLongAsItWasOut_BeginsAnew()
    {
        var health = Health(new() { Ejection = TimeSpan.FromSeconds(10) });
        health.Eject();
        _clock.Advance(TimeSpan.FromSeconds(10));
        health.EndEjection();
        _clock.Advance(TimeSpan.FromSeconds(10.1));

        health.Eject();

        health.EjectionTime.Should().Be(TimeSpan.FromSeconds(10));
    }

    [Test]
    public void ObserveAttempt_ConnectFailedAgainAndAgain_IsAlwaysOutForTheSameTime()
    {
        var health = Health(new() { Ejection = TimeSpan.FromSeconds(10) });

        for (var i = 0; i < 3; i++)
        {
            health.ObserveAttempt(AttemptOutcome.ConnectFailed, "connection refused", 1);
            health.EjectionTime.Should().Be(TimeSpan.FromSeconds(10));
            health.EndEjection();
        }
    }

    private BackendHealth Health(HealthRules rules) => new(rules, _clock);

    private BackendHealth UpByProbe(HealthRules rules)
    {
        var health = Health(rules);
        health.ObserveProbe(true, "ok");
        return health;
    }
}
