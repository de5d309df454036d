using System.Net;
using System.Net.Sockets;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

/// <summary>
/// What a connection on a socket of the framework owes the others of its thread; on event loops see <see cref="EventLoopTests"/>.
/// </summary>
internal sealed class SocketConnectionTests
{
    [Test]
    public async Task Receive_SomethingIsAlwaysThere_OthersHaveTheirTurnAfterAWhile()
    {
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.IPv6Loopback, 0));
        listener.Listen();
        using var peer = new Socket(AddressFamily.InterNetworkV6, SocketType.Stream, ProtocolType.Tcp);
        await peer.ConnectAsync(listener.LocalEndPoint!);
        using var connection = new SocketConnection(await listener.AcceptAsync());
        peer.Send(new byte[8 * 1024]);
        await connection.ReceiveAsync(default); // All of it is there.

        var waits = 0;
        for (var i = 0; i < 1000; i++)
        {
            var receiving = connection.ReceiveAsync(new byte[1]);
            waits += receiving.IsCompleted ? 0 : 1;
            (await receiving).Should().Be(1);
        }

        waits.Should().BeInRange(1, 100, "the thread is given up now and then, and not for each piece");
    }
}
