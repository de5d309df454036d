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

    private static ConnectionLimit NewLimit() => new("l", null, TimeProvider.System, NullLogger<ConnectionLimit>.Instance);
}
