using System.Text;
using LoadBalancer.Health.Heartbeats;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>What datagrams are taken to say.</summary>
internal sealed class HeartbeatMessageTests
{
    [TestCase("OK", 0)]
    [TestCase("OK\n", 0)]
    [TestCase("\t OK \r\n\0\0\0", 0)]
    [TestCase("OK load=35", 35)]
    [TestCase("OK  load=0", 0)]
    [TestCase("OK\tload=100\n", 100)]
    [TestCase("OK load=34.6", 35)]
    [TestCase("OK load=", null)]
    [TestCase("OK load=101", null)]
    [TestCase("OK load=-1", null)]
    [TestCase("OK load=+1", null)]
    [TestCase("OK load=1e1", null)]
    [TestCase("OK load=NaN", null)]
    [TestCase("OK load=high", null)]
    [TestCase("OK load=3 5", null)]
    public void Parse_SignOfLife_HasItsLoad(string datagram, int? load) =>
        Parse(datagram).Should().Be(new HeartbeatMessage(HeartbeatKind.Alive, load));

    [TestCase("127.0.0.1:7000 127.0.0.1:7001", "127.0.0.1:7000", "127.0.0.1:7001")]
    [TestCase(" 0.0.0.0:1\t255.255.255.255:65535\n\0", "0.0.0.0:1", "255.255.255.255:65535")]
    [TestCase("[::1]:7000 [fe80::1]:7001", "[::1]:7000", "[fe80::1]:7001")]
    [TestCase("[::ffff:127.0.0.1]:7000 127.0.0.1:7001", "127.0.0.1:7000", "127.0.0.1:7001")]
    public void Parse_Registration_HasBothAddresses(string datagram, string tcp, string udp)
    {
        var message = Parse(datagram);

        message.Kind.Should().Be(HeartbeatKind.Registration);
        (message.Tcp.ToString(), message.Udp.ToString()).Should().Be((tcp, udp));
    }

    [TestCase("")]
    [TestCase(" \0\n")]
    [TestCase("ok")]
    [TestCase("OKAY")]
    [TestCase("OK 35")]
    [TestCase("OK loads=3")]
    [TestCase("AUTH")]
    [TestCase("127.0.0.1:7000")]
    [TestCase("127.0.0.1:7000 127.0.0.1:7001 127.0.0.1:7002")]
    [TestCase("127.0.0.1:0 127.0.0.1:7001")]
    [TestCase("127.0.0.1:65536 127.0.0.1:7001")]
    [TestCase("127.0.0.1:+80 127.0.0.1:7001")]
    [TestCase("127.0.0.1: 127.0.0.1:7001")]
    [TestCase("127.0.0.256:7000 127.0.0.1:7001")]
    [TestCase("127.0.0.01:7000 127.0.0.1:7001")]
    [TestCase("127.1:7000 127.0.0.1:7001")]
    [TestCase("127.0.0.1.1:7000 127.0.0.1:7001")]
    [TestCase("127.0.0.:7000 127.0.0.1:7001")]
    [TestCase("::1:7000 127.0.0.1:7001")]
    [TestCase("[::1:7000 127.0.0.1:7001")]
    [TestCase("[127.0.0.1]:7000 127.0.0.1:7001")]
    [TestCase("localhost:7000 localhost:7001")]
    [TestCase("OK t=1735689600000 mac=00")]
    public void Parse_AnythingElse_IsMalformed(string datagram) => Parse(datagram).Should().Be(default(HeartbeatMessage));

    [Test]
    public void Parse_NotUtf8_IsMalformed() =>
        HeartbeatMessage.Parse([(byte)'O', (byte)'K', 0xFF, 0xC0]).Kind.Should().Be(HeartbeatKind.Malformed);

    private static HeartbeatMessage Parse(string datagram) =>
        HeartbeatMessage.Parse(HeartbeatMessage.Trim(Encoding.UTF8.GetBytes(datagram)));
}
