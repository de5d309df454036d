using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>What datagrams and their absence do to a pool, without a socket and on a clock that stands still.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HeartbeatMonitorTests : IDisposable
{
    private const string Key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly LoggerFactory _loggers = new();
    private readonly Dictionary<string, BackendOptions> _options = [];
    private BackendPool _pool = null!;
    private HeartbeatMonitor _monitor = null!;

    public void Dispose()
    {
        _monitor?.Dispose();
        _loggers.Dispose();
        _log.Dispose();
    }

    [Test]
    public void TakeIn_OkFromWhereItIsToCome_BringsTheBackendUp()
    {
        Start();
        _pool.Snapshot.Eligible.Should().BeEmpty("a backend of such a pool is down until it shows itself");
        Backend("a").Health.Reason.Should().Be("no heartbeat yet");

        Send("OK", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None);

        _pool.Snapshot.Eligible.Should().Equal(Backend("a"));
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

    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000", true)]
    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "0.0.0.0:7000 0.0.0.0:7001", "127.0.0.1:50000", true)]
    [TestCase("tcp://127.0.0.1:7000", "udp://127.0.0.1:7001", "0.0.0.0:7000 0.0.0.0:7001", "127.0.0.1:50000", true)]
    [TestCase("tcp://192.0.2.1:7000", "udp://192.0.2.1:7001", "0.0.0.0:7000 0.0.0.0:7001", "192.0.2.1:50000", true)]
    [TestCase("tcp://192.0.2.1:7000", "udp://192.0.2.1:7001", "0.0.0.0:7000 0.0.0.0:7001", "192.0.2.2:50000", false)]
    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "192.0.2.1:7000 192.0.2.1:7001", "192.0.2.1:50000", false)]
    [TestCase("tcp://0.0.0.0:7000", "udp://0.0.0.0:7001", "0.0.0.0:7000 0.0.0.0:7001", "192.0.2.1:50000", false)]
    [TestCase("tcp://[::1]:7000", "udp://[::1]:7001", "[::]:7000 [::1]:7001", "[::1]:50000", true)]
    [TestCase("tcp://logic:7000", "udp://127.0.0.1:7001", "127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000", true)]
    public void TakeIn_RegistrationWithAnyLocalAddress_FitsThose(string address, string heartbeatAddress, string registration, string source, bool fits)
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

        _clock.Advance(TimeSpan.FromMinutes(1)); // without a tick
        _monitor.Tick();
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
            _clock.Advance(2.5 * HeartbeatMonitor.TickInterval);
            _monitor.Tick();
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
        _pool.SnapshotChanged += _ => published++;

        foreach (var (datagram, load) in new[] { ("OK load=40", 40), ("OK load=nonsense", 40), ("OK load=400", 40), ("OK load=75", 75), ("OK", 0), ("OK", 0) })
        {
            Send(datagram, "127.0.0.1:7001");
            Pass(0.5);
            Backend("a").Load.Should().Be(load, datagram);
        }

        published.Should().Be(2);
        _monitor.Statistics[HeartbeatResult.LoadIgnored].Should().Be(2);
        Up().Should().Equal("a");
    }

    [Test]
    public void TakeIn_ThousandsOfLoads_PublishOnceATick()
    {
        Start();
        Send("OK", "127.0.0.1:7001");
        var published = 0;
        _pool.SnapshotChanged += _ => published++;

        for (var i = 0; i < 1000; i++)
        {
            Send($"OK load={i % 100}", "127.0.0.1:7001");
        }
        Pass(0.1);

        published.Should().Be(1);
    }

    [Test]
    public void TakeIn_ManyStrangers_AreAnsweredSoAndSoOften()
    {
        Start();

        var answered = Enumerable.Range(0, 100).Count(_ => Send("OK", "192.0.2.1:5000") == HeartbeatAnswer.Auth);
        var others = Enumerable.Range(1, 50_000).Count(port => Send("OK", $"192.0.2.2:{port}") == HeartbeatAnswer.Auth);

        answered.Should().Be(10);
        others.Should().BeInRange(5000, 10_240);
        _monitor.Statistics[HeartbeatResult.AuthWithheld].Should().Be(50_100 - answered - others);
        Pass(1);
        Send("OK", "192.0.2.1:5000").Should().Be(HeartbeatAnswer.Auth);
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

        _log.Lines.Should().HaveCount(1);
        _log.Lines.First().Should().MatchRegex("^Warning: pool 'logic': [0-9]+ heartbeat datagrams were of no use \\(OK from where nobody is registered, answered AUTH: [0-9]+, not understood: [0-9]+\\); the last came from 192.0.2.1:5000$");
        Pass(10);
        _log.Lines.Should().HaveCount(2);
        Pass(60);
        _log.Lines.Should().HaveCount(2);
    }

    [Test]
    public void Apply_WhoStaysIsRegisteredStill_WhoIsAnotherIsNot()
    {
        Start(options => options, ("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001"), ("b", "tcp://127.0.0.1:7010", "udp://127.0.0.1:7011"));
        Send("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:50000");
        Send("127.0.0.1:7010 127.0.0.1:7011", "127.0.0.1:50010");

        _options["b"] = _options["b"] with { HeartbeatAddress = TestNode.Parse("udp://127.0.0.1:7012") };
        _monitor.Apply(new HeartbeatOptions { Timeout = TimeSpan.FromSeconds(5) }, _options);

        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None);
        Send("OK", "127.0.0.1:50010").Should().Be(HeartbeatAnswer.Auth);
        Pass(4.9);
        Up().Should().Equal("a", "b");
        Pass(0.6);
        Up().Should().BeEmpty();
    }

    [Test]
    public void MembersChanged_WhoLeavesOrJoins_IsWatchedNoLongerOrFromNowOn()
    {
        Start();
        var newcomer = NewBackend("b", "tcp://127.0.0.1:7010");
        _options["b"] = new BackendOptions { Address = newcomer.Address, HeartbeatAddress = TestNode.Parse("udp://127.0.0.1:7011") };

        _pool.SetMembers([newcomer]);

        Send("OK", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.Auth);
        Send("OK", "127.0.0.1:7011").Should().Be(HeartbeatAnswer.None);
        Up().Should().Equal("b");
    }

    [Test]
    public void TakeIn_Signed_CountsOnceAndWithinTenSeconds()
    {
        Start(options => options with { Key = Key });
        var datagram = Signed("OK load=5");

        Send(datagram, "127.0.0.1:7001");
        Up().Should().Equal("a");
        Backend("a").Load.Should().Be(5);
        Send(datagram, "127.0.0.1:7001");
        Send(datagram, "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None);
        _monitor.Statistics[HeartbeatResult.Replayed].Should().Be(2);

        Send(Signed("OK", -10_000), "127.0.0.1:7001");
        Send(Signed("OK", 10_000).ToUpperInvariant().Replace(" T=", " t=", StringComparison.Ordinal).Replace(" MAC=", " mac=", StringComparison.Ordinal) + "\r\n", "127.0.0.1:7001");
        _monitor.Statistics[HeartbeatResult.Ok].Should().Be(3, "hex may be in either case");
        Send(Signed("OK", -10_001), "127.0.0.1:7001");
        Send(Signed("OK", 10_001), "127.0.0.1:7001");
        _monitor.Statistics[HeartbeatResult.Stale].Should().Be(2);
    }

    [Test]
    public void TakeIn_NotOrBadlySigned_IsDroppedAndCounted()
    {
        Start(options => options with { Key = Key });
        var good = Signed("OK");
        string[] bad =
        [
            "OK", "127.0.0.1:7000 127.0.0.1:7001", "", " mac=", good[..^1], good[..^1] + "g", good + "0", good.Replace("OK", "OK ", StringComparison.Ordinal), good.Replace(" t=", " t=0", StringComparison.Ordinal),
            good.Replace(" t=", "  t=", StringComparison.Ordinal), good.Replace(" mac=", "", StringComparison.Ordinal), Signed("OK", key: Convert.ToBase64String(new byte[32])),
            $"OK mac={Convert.ToHexStringLower(HMACSHA256.HashData(Convert.FromBase64String(Key), "OK"u8))}",
        ];

        foreach (var datagram in bad)
        {
            Send(datagram, "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None);
        }

        _monitor.Statistics[HeartbeatResult.BadMac].Should().Be(bad.Length);
        Up().Should().BeEmpty();
        Send(good, "127.0.0.1:7001");
        Up().Should().Equal(["a"], "none of those used it up");
    }

    [Test]
    public void TakeIn_TwoBackendsSignTheSameInTheSameMillisecond_BothCount()
    {
        Start(options => options with { Key = Key }, ("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001"), ("b", "tcp://127.0.0.1:7010", "udp://127.0.0.1:7011"));
        var same = Signed("OK");

        Send(same, "127.0.0.1:7001");
        Send(same, "127.0.0.1:7011");

        Up().Should().Equal("a", "b");
    }

    [Test]
    public void TakeIn_RegistrationThatSomebodyCopied_DoesNotMoveTheSource()
    {
        Start(options => options with { Key = Key });
        var registration = Signed("127.0.0.1:7000 127.0.0.1:7001");
        Send(registration, "127.0.0.1:50000").Should().Be(HeartbeatAnswer.Ok);

        Send(registration, "192.0.2.1:5000").Should().Be(HeartbeatAnswer.None);

        Send(Signed("OK"), "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None);
        _monitor.Statistics[HeartbeatResult.Ok].Should().Be(1);
    }

    [Test]
    public void Write_Signed_IsAsTheContractSaysAndIsNoSignOfLifeWhenItComesBack()
    {
        Start(options => options with { Key = Key });
        var buffer = new byte[HeartbeatMessage.MostBytes];

        var answer = Encoding.ASCII.GetString(buffer, 0, _monitor.Write(HeartbeatAnswer.Ok, buffer));

        answer.Should().Be(Signed("OK"));
        Send(answer, "127.0.0.1:7001");
        Up().Should().BeEmpty();
        Encoding.ASCII.GetString(buffer, 0, _monitor.Write(HeartbeatAnswer.Auth, buffer)).Should().Be(Signed("AUTH"));
    }

    [Test]
    public void TakeIn_MoreThanCanBeRemembered_NoCopyIsTaken()
    {
        var memory = new ReplayMemory(_clock, most: 100);
        HeartbeatResult? Take(int i) => memory.TakeIn(new SignedText("OK"u8, _clock.GetUtcNow().ToUnixTimeMilliseconds() + (i / 10), (UInt128)i), ReplayMemory.Anybody);

        for (var i = 0; i < 1000; i++)
        {
            Take(i).Should().BeNull();
        }

        for (var i = 0; i < 1000; i++)
        {
            Take(i).Should().NotBeNull();
        }
        Take(10_000).Should().BeNull("what is newer is taken still");
    }

    [Test]
    public void TakeIn_ClockWasPutBack_WhatIsSignedFromThenOnIsTaken()
    {
        var memory = new ReplayMemory(_clock, most: 100);
        HeartbeatResult? Take(int i) => memory.TakeIn(new SignedText("OK"u8, _clock.GetUtcNow().ToUnixTimeMilliseconds(), (UInt128)i), ReplayMemory.Anybody);
        for (var i = 0; i < 50; i++)
        {
            Take(i).Should().BeNull();
            _clock.Advance(TimeSpan.FromSeconds(1));
        }

        _clock.ChangeTimeOfDay(TimeSpan.FromHours(-1));

        for (var i = 50; i < 1000; i++)
        {
            Take(i).Should().BeNull();
            Take(i).Should().Be(HeartbeatResult.Replayed);
            _clock.Advance(TimeSpan.FromSeconds(1));
        }
    }

    [Test]
    public void Dispose_BusyBackend_HasItsWholeWeightAgain()
    {
        Start();
        Send("OK load=90", "127.0.0.1:7001");

        _monitor.Dispose();

        Backend("a").Load.Should().Be(0);
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

    [Test]
    public void Dispose_ATickOrADatagramIsUnderWay_ChangesNothingAfterwards()
    {
        Start();
        Send("OK load=90", "127.0.0.1:7001");

        _monitor.Dispose();
        _monitor.Tick();
        Send("OK load=80", "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None);
        _monitor.Tick();
        Send("OK", "127.0.0.1:50000").Should().Be(HeartbeatAnswer.None, "nobody is asked to register any more");

        Backend("a").Load.Should().Be(0);
    }

    [Test]
    public void Apply_HeartbeatsOfABusyBackendAreNoLongerWanted_ItHasItsWholeWeightAgain()
    {
        StartTwo();
        Send("OK load=90", "127.0.0.1:7001");

        _options.Remove("a");
        _monitor.Apply(new HeartbeatOptions(), _options);

        Backend("a").Load.Should().Be(0);
    }

    private void StartTwo() => Start(
        options => options, ("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001"), ("b", "tcp://127.0.0.1:7010", "udp://127.0.0.1:7011"));

    private void Configure(string backend, string heartbeatAddress)
    {
        _options[backend] = _options[backend] with { HeartbeatAddress = TestNode.Parse(heartbeatAddress) };
        _monitor.Apply(new HeartbeatOptions(), _options);
    }

    private void Start(Func<HeartbeatOptions, HeartbeatOptions>? change = null, params (string Name, string Address, string HeartbeatAddress)[] backends)
    {
        backends = backends.Length > 0 ? backends : [("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001")];
        foreach (var (name, address, heartbeatAddress) in backends)
        {
            _options[name] = new BackendOptions { Address = TestNode.Parse(address), HeartbeatAddress = TestNode.Parse(heartbeatAddress) };
        }
        _pool = new BackendPool("logic", new RoundRobinPolicy(), [.. backends.Select(backend => NewBackend(backend.Name, backend.Address))]);
        _loggers.AddProvider(_log);
        _monitor = new HeartbeatMonitor(_pool, _clock, _loggers.CreateLogger("heartbeats"));
        _monitor.Apply((change ?? (options => options))(new HeartbeatOptions()), _options);
    }

    private Backend NewBackend(string name, string address) => new(name, TestNode.Parse(address), new BackendHealth(new HealthRules { Heartbeats = true }, _clock));

    private HeartbeatAnswer Send(string datagram, string source) => _monitor.TakeIn(Encoding.UTF8.GetBytes(datagram), IpPort.From(IPEndPoint.Parse(source).Serialize()));

    private string Signed(string text, long offset = 0, string key = Key)
    {
        var body = string.Create(CultureInfo.InvariantCulture, $"{text} t={_clock.GetUtcNow().ToUnixTimeMilliseconds() + offset}");
        return $"{body} mac={Convert.ToHexStringLower(HMACSHA256.HashData(Convert.FromBase64String(key), Encoding.UTF8.GetBytes(body)))}";
    }

    private void Pass(double seconds)
    {
        var end = _clock.GetUtcNow() + TimeSpan.FromSeconds(seconds);
        for (; _clock.GetUtcNow() < end; _monitor.Tick())
        {
            var left = end - _clock.GetUtcNow();
            _clock.Advance(left < HeartbeatMonitor.TickInterval ? left : HeartbeatMonitor.TickInterval);
        }
    }

    private Backend Backend(string name) => _pool.Snapshot.Members.Single(backend => backend.Name == name);

    private IEnumerable<string> Up() => _pool.Snapshot.Members.Where(backend => backend.Health.IsUp).Select(backend => backend.Name);
}
