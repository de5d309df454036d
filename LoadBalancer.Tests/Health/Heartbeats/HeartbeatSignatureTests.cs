using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Health.Heartbeats;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>Signed datagrams, forged ones, and copies.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HeartbeatSignatureTests : HeartbeatMonitorFixture
{
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
        Monitor.Statistics[HeartbeatResult.Replayed].Should().Be(2);

        Send(Signed("OK", -10_000), "127.0.0.1:7001");
        Send(Signed("OK", 10_000).ToUpperInvariant().Replace(" T=", " t=", StringComparison.Ordinal).Replace(
            " MAC=", " mac=", StringComparison.Ordinal) + "\r\n", "127.0.0.1:7001");
        Monitor.Statistics[HeartbeatResult.Ok].Should().Be(3, "hex may be in either case");
        Send(Signed("OK", -10_001), "127.0.0.1:7001");
        Send(Signed("OK", 10_001), "127.0.0.1:7001");
        Monitor.Statistics[HeartbeatResult.Stale].Should().Be(2);
    }

    [Test]
    public void TakeIn_NotOrBadlySigned_IsDroppedAndCounted()
    {
        Start(options => options with { Key = Key });
        var good = Signed("OK");
        string[] bad =
        [
            "OK", "127.0.0.1:7000 127.0.0.1:7001", "", " mac=", good[..^1], good[..^1] + "g", good + "0",
            good.Replace("OK", "OK ", StringComparison.Ordinal), good.Replace(" t=", " t=0", StringComparison.Ordinal),
            good.Replace(" t=", "  t=", StringComparison.Ordinal), good.Replace(" mac=", "", StringComparison.Ordinal),
            Signed("OK", key: Convert.ToBase64String(new byte[32])),
            $"OK mac={Convert.ToHexStringLower(HMACSHA256.HashData(Convert.FromBase64String(Key), "OK"u8))}",
        ];

        foreach (var datagram in bad)
        {
            Send(datagram, "127.0.0.1:7001").Should().Be(HeartbeatAnswer.None);
        }

        Monitor.Statistics[HeartbeatResult.BadMac].Should().Be(bad.Length);
        Up().Should().BeEmpty();
        Send(good, "127.0.0.1:7001");
        Up().Should().Equal(["a"], "none of those used it up");
    }

    [Test]
    public void TakeIn_TwoBackendsSignTheSameInTheSameMillisecond_BothCount()
    {
        Start(options => options with { Key = Key }, ("a", "tcp://127.0.0.1:7000", "udp://127.0.0.1:7001"),
            ("b", "tcp://127.0.0.1:7010", "udp://127.0.0.1:7011"));
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
        Monitor.Statistics[HeartbeatResult.Ok].Should().Be(1);
    }

    [Test]
    public void Write_Signed_IsAsTheContractSaysAndIsNoSignOfLifeWhenItComesBack()
    {
        Start(options => options with { Key = Key });
        var buffer = new byte[HeartbeatMessage.MaxBytes];

        var answer = Encoding.ASCII.GetString(buffer, 0, Monitor.Write(HeartbeatAnswer.Ok, buffer));

        answer.Should().Be(Signed("OK"));
        Send(answer, "127.0.0.1:7001");
        Up().Should().BeEmpty();
        Encoding.ASCII.GetString(buffer, 0, Monitor.Write(HeartbeatAnswer.Auth, buffer)).Should().Be(Signed("AUTH"));
    }

    [Test]
    public void TakeIn_MoreThanCanBeRemembered_NoCopyIsTaken()
    {
        var memory = new ReplayMemory(Clock, most: 100);
        HeartbeatResult? Take(int i) =>
            memory.TakeIn(new SignedText("OK"u8, Clock.GetUtcNow().ToUnixTimeMilliseconds() + (i / 10), (UInt128)i),
            ReplayMemory.UnknownSender);

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
        var memory = new ReplayMemory(Clock, most: 100);
        HeartbeatResult? Take(int i) =>
            memory.TakeIn(new SignedText("OK"u8, Clock.GetUtcNow().ToUnixTimeMilliseconds(), (UInt128)i), ReplayMemory.UnknownSender);
        for (var i = 0; i < 50; i++)
        {
            Take(i).Should().BeNull();
            Clock.Advance(TimeSpan.FromSeconds(1));
        }

        Clock.ChangeTimeOfDay(TimeSpan.FromHours(-1));

        for (var i = 50; i < 1000; i++)
        {
            Take(i).Should().BeNull();
            Take(i).Should().Be(HeartbeatResult.Replayed);
            Clock.Advance(TimeSpan.FromSeconds(1));
        }
    }
}
