using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Transport;

/// <summary>Sockets that listen, and go on to another listener.</summary>
internal sealed class ListenSocketsTests
{
    [Test]
    public async Task Reserve_SocketOfTheFrameworkAgainAndAgain_EachListenerAccepts()
    {
        Assume.That(ListenSockets.CanShare, "elsewhere no socket is kept for another listener");
        using var sockets = new ListenSockets();
        var address = new IPEndPoint(IPAddress.Loopback, ReservedPorts.Next());
        var accepted = Channel.CreateUnbounded<int>();
        var loop = Start(0);

        for (var i = 1; i < 6; i++)
        {
            sockets.Reserve(SocketType.Stream, address);
            loop.Dispose();
            using var waits = await ConnectAsync();
            loop = Start(i);
            using var comes = await ConnectAsync();

            (await accepted.Reader.ReadAsync(), await accepted.Reader.ReadAsync()).Should().Be((i, i));
            sockets.All.Should().ContainSingle();
        }
        loop.Dispose();

        sockets.All.Should().BeEmpty();
        await FluentActions.Awaiting(ConnectAsync).Should().ThrowAsync<SocketException>("the last one has closed it");

        SocketAcceptLoop Start(int number) => SocketAcceptLoop.Start(
            sockets.Open(SocketType.Stream, address), "l", NewLimit(),
            (client, _, _) =>
            {
                client.Dispose();
                accepted.Writer.TryWrite(number);
            },
            TimeProvider.System, NullLogger.Instance);

        async Task<Socket> ConnectAsync()
        {
            var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(address);
            return client;
        }
    }

    [TestCase(SocketType.Stream, "127.0.0.1", "::")]
    [TestCase(SocketType.Stream, "::", "127.0.0.1")]
    [TestCase(SocketType.Stream, "0.0.0.0", "127.0.0.1")]
    [TestCase(SocketType.Dgram, "127.0.0.1", "0.0.0.0")]
    [TestCase(SocketType.Dgram, "::", "::1")]
    public void Open_PortThatAnOwnSocketHas_IsForThisProgramAlone(SocketType type, string before, string now)
    {
        Assume.That(ListenSockets.CanShare, "elsewhere a port that the program has itself is taken");
        using var sockets = new ListenSockets();
        var port = ReservedPorts.Next();
        using var one = sockets.Open(type, new IPEndPoint(IPAddress.Parse(before), port));

        sockets.Reserve(type, new IPEndPoint(IPAddress.Parse(now), port));
        using var other = sockets.Open(type, new IPEndPoint(IPAddress.Parse(now), port));

        other.Address.Should().Be(new IPEndPoint(IPAddress.Parse(now), port));
        foreach (var address in new[] { one.Address, other.Address }.Cast<IPEndPoint>())
        {
            FluentActions.Invoking(() => ListenSocket.Bind(type, address)).Should().Throw<SocketException>("another program is refused");
        }
    }

    private static ConnectionLimit NewLimit() => new("l", null, TimeProvider.System, NullLogger<ConnectionLimit>.Instance);
}
