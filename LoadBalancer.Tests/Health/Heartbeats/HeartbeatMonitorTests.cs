using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>What heartbeats and their absence do to a pool.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HeartbeatMonitorTests : HeartbeatMonitorFixture
{
    [Test]
    public void Begin_LongAfterTheMonitorWasMade_BackendHasAllItsTimeFromThen()
    {
        Start();
        Pool.ObserveHeartbeat(Backend("a"), isAlive: true, "as the process before knew");
        Clock.Advance(TimeSpan.FromSeconds(5));

        Monitor.Begin();

        Pass(2);
        Up().Should().Equal("a");
        Pass(0.5);
        Up().Should().BeEmpty();
    }

    [Test]
    public void Tick_SilentForTheTimeout_IsDownWithinHalfASecond()
    {
        Start();
        Send("OK", "127.0.0.1:7001");

        Pass(2);
        Up().Should().Equal("a");
        Pass(0.5);

        Up().Should().BeEmpty();
        Backend("a").Health.Reason.Should().Be("no heartbeat for 2 s");
        Send("OK", "127.0.0.1:7001");
        Up().Should().Equal("a");
    }

    [Test]
    public void Tick_OneDatagramOfARhythmOfASecondIsLost_StaysUp()
    {
        Start();
        for (var second = 0; second < 20; second++)
        {
            if (second % 2 == 0)
            {
                Send("OK", "127.0.0.1:7001");
            }
            Pass(1.005);
            Up().Should().Equal("a");
        }
    }

    [Test]
    public void Tick_TheProgramStoodStill_DatagramsThatWaitComeFirst()
    {
        Start();
        Send("OK", "127.0.0.1:7001");

        Clock.Advance(TimeSpan.FromMinutes(1)); // without a tick
        Monitor.Tick();
        Up().Should().Equal("a");
        Pass(0.2);

        Up().Should().BeEmpty();
    }

    [Test]
    public void Tick_EveryOneIsLate_SilenceIsNoticedAllTheSame()
    {
        Start();
        Send("OK", "127.0.0.1:7001");

        for (var i = 0; i < 10; i++)
        {
            Clock.Advance(2.5 * HeartbeatMonitor.TickInterval);
            Monitor.Tick();
        }

        Up().Should().BeEmpty("it is half a second after the time-out");
    }

    [Test]
    public void TakeIn_Load_CountsWithTheNextTickAndIsPublishedOnlyWhenItChanges()
    {
        Start();
        Send("OK load=40", "127.0.0.1:7001");
        Backend("a").Load.Should().Be(40, "it comes up with the weight that it can bear");
        var published = 0;
        Pool.SnapshotChanged += _ => published++;

        foreach (var (datagram, load) in new[] { ("OK load=40", 40), ("OK load=nonsense", 40), ("OK load=400", 40), ("OK load=75", 75),
            ("OK", 0), ("OK", 0) })
        {
            Send(datagram, "127.0.0.1:7001");
            Pass(0.5);
            Backend("a").Load.Should().Be(load, datagram);
        }

        published.Should().Be(2);
        Monitor.Statistics[HeartbeatResult.LoadIgnored].Should().Be(2);
        Up().Should().Equal("a");
    }

    [Test]
    public void TakeIn_ThousandsOfLoads_PublishOnceATick()
    {
        Start();
        Send("OK", "127.0.0.1:7001");
        var published = 0;
        Pool.SnapshotChanged += _ => published++;

        for (var i = 0; i < 1000; i++)
        {
            Send($"OK load={i % 100}", "127.0.0.1:7001");
        }
        Pass(0.1);

        published.Should().Be(1);
    }

    [Test]
    public void TakeIn_ThousandOfNoUse_IsOneLineInTenSeconds()
    {
        Start();
        for (var i = 0; i < 1000; i++)
        {
            Send("nonsense", "192.0.2.1:5000");
            Send("OK", "192.0.2.1:5000");
            Pass(0.01);
        }

        Log.Lines.Should().HaveCount(1);
        Log.Lines.First().Should()
            .MatchRegex(
            "^Warning: pool 'logic': [0-9]+ heartbeat datagrams were of no use \\(OK from where nobody is registered, answered AUTH: " +
                "[0-9]+, "
            + "not understood: [0-9]+\\); the last came from 192.0.2.1:5000$");
        Pass(10);
        Log.Lines.Should().HaveCount(2);
        Pass(60);
        Log.Lines.Should().HaveCount(2);
    }

    [Test]
    public void MembersChanged_WhoLeavesOrJoins_IsWatchedNoLongerOrFromNowOn()
    {
        Start();
        var newcomer = NewBackend("b", "tcp://127.0.0.1:7010");
        Options["b"] = new BackendOptions { Address = newcomer.Address, HeartbeatAddress = TestNode.Parse("udp://127.0.0.1:7011") };

        Pool.SetMembers([newcomer]);

        Send("OK", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.Auth);
        Send("OK", "127.0.0.1:7011").Should().Be(HeartbeatAnswer.None);
        Up().Should().Equal("b");
    }

    [Test]
    public void Dispose_BusyBackend_HasItsWholeWeightAgain()
    {
        Start();
        Send("OK load=90", "127.0.0.1:7001");

        Monitor.Dispose();

        Backend("a").Load.Should().Be(0);
    }

    [Test]
    public void Dispose_ATickOrADatagramIsUnderWay_ChangesNothingAfterwards()
    {
        Start();
        Send("OK load=90", "127.0.0.1:7001");

        Monitor.Dispose();
        Monitor.Tick();
        Send("OK load=80", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None);
        Monitor.Tick();
        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None, "backends are no longer asked to register");

        Backend("a").Load.Should().Be(0);
    }

    [Test]
    public void Apply_HeartbeatsOfABusyBackendAreNoLongerWanted_ItHasItsWholeWeightAgain()
    {
        StartTwo();
        Send("OK load=90", "127.0.0.1:7001");

        Options.Remove("a");
        Monitor.Apply(new HeartbeatOptions(), Options);

        Backend("a").Load.Should().Be(0);
    }
}
