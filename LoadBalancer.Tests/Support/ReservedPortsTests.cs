using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Tests.Support;

internal sealed class ReservedPortsTests
{
    [Test]
    public void Next_FromManyThreadsAtOnce_GivesNoPortTwiceAndNoneOfOutgoingConnections()
    {
        var ports = new ConcurrentBag<int>();

        Parallel.For(0, 100, i => Enumerable.Range(ReservedPorts.Next(1 + (i % 8)), 1 + (i % 8)).ToList().ForEach(ports.Add));

        ports.Should().OnlyHaveUniqueItems();
        using var outgoing = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        outgoing.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        ports.Should().OnlyContain(port => port >= 10_000 && port < 32_768).And.NotContain(((IPEndPoint)outgoing.LocalEndPoint!).Port);
    }

    [TestCase("127.0.0.1", ProtocolType.Tcp)]
    [TestCase("127.0.0.2", ProtocolType.Tcp)]
    [TestCase("127.0.0.1", ProtocolType.Udp)]
    public void Next_AnotherProgramHasThePort_PassesItOver(string host, ProtocolType protocol)
    {
        var taken = ReservedPorts.Next() + 1;
        using var other = new Socket(
            AddressFamily.InterNetwork, protocol == ProtocolType.Tcp ? SocketType.Stream : SocketType.Dgram, protocol);
        other.Bind(new IPEndPoint(IPAddress.Parse(host), taken));
        if (protocol == ProtocolType.Tcp)
        {
            other.Listen();
        }

        ReservedPorts.Next().Should().NotBe(taken);
    }

    [Test]
    public void NextOffset_Twice_GivesEachItsOwnPorts()
    {
        var (one, two) = (StorePorts.NextOffset(), StorePorts.NextOffset());

        int[] usual = [5550, 5560, 5570, 5571, 5572, 5573];
        usual.Select(port => port + one).Should().NotIntersectWith(usual.Select(port => port + two));
    }
}
