using System.Net;
using System.Net.Sockets;

namespace ChatRoom;

/// <summary>A connection to a data server, which is made again whenever it ends.</summary>
/// <param name="server">The address of the data server, or of a load balancer in front of several.</param>
/// <param name="received">Called with each line that arrives.</param>
/// <param name="greeting">The first line to send.</param>
internal sealed class LineLink(IPEndPoint server, Action<string> received, string greeting)
{
    /// <summary>The first line of a data server. A load balancer that has no data server sends a different one.</summary>
    public const string Welcome = "data server";

    private static readonly TimeSpan ReconnectDelay = TimeSpan.FromMilliseconds(200);

    private volatile LinePeer? _peer;

    /// <summary>Sends a line.</summary>
    /// <returns>Whether there is a connection. The line may still be lost with it.</returns>
    public bool TrySend(string line)
    {
        var peer = _peer;
        peer?.Send(line);
        return peer is not null;
    }

    /// <summary>Stays connected until it is told to stop.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (true)
        {
            try
            {
                await ConnectAsync(stop);
            }
            catch (SocketException)
            {
                // Nothing listens there at the moment.
            }
            await Task.Delay(ReconnectDelay, TimeProvider.System, stop);
        }
    }

    private async Task ConnectAsync(CancellationToken stop)
    {
        using var client = new TcpClient(server.AddressFamily);
        await client.ConnectAsync(server, stop);
        using var peer = new LinePeer(client);
        peer.Send(greeting);
        if (await peer.ReadAsync() != Welcome)
        {
            return;
        }
        _peer = peer;
        while (await peer.ReadAsync() is { } line)
        {
            received(line);
        }
        _peer = null;
    }
}
