using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>Which backend a datagram comes from: configured and registered sources.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HeartbeatSourceTests : HeartbeatMonitorFixture
{
    [Test]
    public void TakeIn_OkFromWhereItIsToCome_BringsTheBackendUp()
    {
        Start();
        Pool.Snapshot.Eligible.Should().BeEmpty("a backend of such a pool is down until it shows itself");
        Backend("a").Health.Reason.Should().Be("no heartbeat yet");

        Send("OK", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None);

        Pool.Snapshot.Eligible.Should().Equal(Backend("a"));
        Backend("a").Health.Reason.Should().Be("heartbeat from 127.0.0.1:7001");
    }

    [Test]
    public void TakeIn_OkFromElsewhere_IsAskedToRegisterAndThenCounts()
    {
        Start();

        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.Auth);
        Up().Should().BeEmpty();
        Send("127.0.0.1:7000 127.0.0.1:7001\n", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.Ok);
        Up().Should().Equal("a");
        Backend("a").Health.Reason.Should().Be("registered from 127.0.0.1:50000");

        Pass(1.9);
        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None);
        Pass(1.9);
        Up().Should().Equal("a");
    }

    [Test]
    public void TakeIn_RegisteredFromAnotherSource_OnlyThatOneCounts()
    {
        Start();
        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000");
        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50001").Should().Be(HeartbeatAnswer.Ok);

        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.Auth);
        Send("OK", "127.0.0.1:50001").Should().Be(HeartbeatAnswer.None);
        Send("OK", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None, "the configured one counts always");
    }

    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000", true)]
    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "0.0.0.0:7000 0.0.0.0:7001", "127.0.0.1:50000", true)]
    [TestCase("tcp://127.0.0.1:7000", "udp://127.0.0.1:7001", "0.0.0.0:7000 0.0.0.0:7001", "127.0.0.1:50000", true)]
    [TestCase("tcp://192.0.2.1:7000", "udp://192.0.2.1:7001", "0.0.0.0:7000 0.0.0.0:7001", "192.0.2.1:50000", true)]
    [TestCase("tcp://192.0.2.1:7000", "udp://192.0.2.1:7001", "0.0.0.0:7000 0.0.0.0:7001", "192.0.2.2:50000", false)]
    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "192.0.2.1:7000 192.0.2.1:7001", "192.0.2.1:50000", false)]
    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "0.0.0.0:7000 0.0.0.0:7001", "192.0.2.1:50000", false)]
    [TestCase("tcp://[::1]:7000", "udp://[::1]:7001", "[::]:7000 [::1]:7001", "[::1]:50000", true)]
    [TestCase("tcp://logic:7000", "udp://127.0.0.1:7001", "127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000", true)]
    public void TakeIn_RegistrationWithAnyLocalAddress_FitsThose(
        string address, string heartbeatAddress, string registration, string source, bool fits)
    {
        Start(options => options with { }, ("a", address, heartbeatAddress));

        Send(registration, source).Should().Be(fits ? HeartbeatAnswer.Ok : HeartbeatAnswer.None);
    }

    [TestCase("127.0.0.1:7001", true)]
    [TestCase("127.8.9.1:7001", true)]
    [TestCase("127.0.0.1:7002", false)]
    [TestCase("192.0.2.1:7001", false)]
    public void TakeIn_OkWhereAnyLocalAddressIsConfigured_CountsFromThose(string source, bool counts)
    {
        Start(options => options, ("a", "tcp://0.0.0.0:7000", "udp://0.0.0.0:7001"));

        Send("OK", source);

        Up().Should().HaveCount(counts ? 1 : 0);
    }

    [Test]
    public void TakeIn_ManyStrangers_AreAnsweredSoAndSoOften()
    {
        Start();

        var answered = Enumerable.Range(0, 100).Count(_ => Send("OK", "192.0.2.1:5000") == HeartbeatAnswer.Auth);
        var others = Enumerable.Range(1, 50_000).Count(port => Send("OK", $"192.0.2.2:{port}") == HeartbeatAnswer.Auth);

        answered.Should().Be(10);
        others.Should().BeInRange(5000, 10_240);
        Monitor.Statistics[HeartbeatResult.AuthWithheld].Should().Be(50_100 - answered - others);
        Pass(1);
        Send("OK", "192.0.2.1:5000").Should().Be(HeartbeatAnswer.Auth);
    }

    [Test]
    public void Apply_WhoStaysIsRegisteredStill_WhoIsAnotherIsNot()
    {
        Start(options => options, ("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001"),
            ("b", "tcp://127.0.0.1:7010", "udp://127.0.0.1:7011"));
        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000");
        Send("127.0.0.1:7010 127.0.0.1:7011", "127.0.0.1:50010");

        Options["b"] = Options["b"] with { HeartbeatAddress = TestNode.Parse("udp://127.0.0.1:7012") };
        Monitor.Apply(new HeartbeatOptions { Timeout = TimeSpan.FromSeconds(5) }, Options);

        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None);
        Send("OK", "127.0.0.1:50010").Should().Be(HeartbeatAnswer.Auth);
        Pass(4.9);
        Up().Should().Equal("a", "b");
        Pass(0.6);
        Up().Should().BeEmpty();
    }

    [Test]
    public void TakeIn_RegistersAgainAfterItsSourceWasConfiguredForAnother_TheOtherKeepsItsSource()
    {
        StartTwo();
        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000");
        Configure("b", "udp://127.0.0.1:50000");

        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50001").Should().Be(HeartbeatAnswer.Ok);

        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None, "the configuration says that this is b");
        Up().Should().Equal("a", "b");
        Send("OK", "127.0.0.1:50001").Should().Be(HeartbeatAnswer.None);
    }

    [Test]
    public void TakeIn_SourceWasConfiguredForAnotherForAWhile_IsNoLongerRegistered()
    {
        StartTwo();
        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000");

        Configure("b", "udp://127.0.0.1:50000");
        Configure("b", "udp://127.0.0.1:7011");

        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.Auth);
    }

    [TestCase("udp://127.0.0.1:7011")]
    [TestCase("udp://0.0.0.0:7011")]
    public void TakeIn_RegistersFromTheConfiguredSourceOfAnother_TheOtherKeepsItsSource(string configured)
    {
        StartTwo();
        Configure("b", configured);

        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:7011").Should().Be(HeartbeatAnswer.Ok);
        Send("OK", "127.0.0.1:7011").Should().Be(HeartbeatAnswer.None);

        Up().Should().Equal("a", "b");
    }

    [TestCase("udp://127.0.0.1:7001")]
    [TestCase("udp://0.0.0.0:7001")]
    public void TakeIn_RegistersAgainFromTheConfiguredSource_TheFormerSourceCountsNoLonger(string configured)
    {
        Start(options => options, ("a", "tcp://127.0.0.1:7000", configured));
        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.Ok);

        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.Ok);

        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.Auth);
        Send("OK", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None);
    }

    [TestCase("127.0.0.1:7000 127.0.0.1:7002")]
    [TestCase("127.0.0.1:7002 127.0.0.1:7001")]
    [TestCase("127.0.0.2:7000 127.0.0.1:7001")]
    [TestCase("AUTH")]
    [TestCase("hello")]
    public void TakeIn_NeitherSignOfLifeNorABackend_IsDroppedWithoutAnAnswer(string datagram)
    {
        Start();

        Send(datagram, "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None);

        Up().Should().BeEmpty();
    }
}
