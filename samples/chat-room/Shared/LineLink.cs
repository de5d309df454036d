using System.Net;
using System.Net.Sockets;

namespace ChatRoom;

/// <summary>A connection to a data server, made again whenever it ends.</summary>
/// <param name="server">Where it is; or where the load balancer is that leads to one.</param>
/// <param name="hear">Told of each line that comes.</param>
/// <param name="greeting">What to say first.</param>
internal sealed class LineLink(IPEndPoint server, Action<string> hear, string greeting)
{
    /// <summary>What a data server says first. Where there is none, the load balancer says something else.</summary>
    public const string Welcome = "data server";

    private volatile LinePeer? _peer;

    /// <summary>Whether there is one that the line was handed to.</summary>
    public bool TrySend(string line)
    {
        var peer = _peer;
        peer?.Send(line);
        return peer is not null;
    }

    public async Task RunAsync(CancellationToken stop)
    {
        for (; !stop.IsCancellationRequested; await Task.Delay(TimeSpan.FromMilliseconds(200), TimeProvider.System, stop))
        {
            var client = new TcpClient(server.AddressFamily);
            try
            {
                await client.ConnectAsync(server, stop);
            }
            catch (SocketException)
            {
                client.Dispose();
                continue;
            }
            using var peer = new LinePeer(client);
            peer.Send(greeting);
            if (await peer.ReadAsync() != Welcome)
            {
                continue;
            }
            _peer = peer;
            while (await peer.ReadAsync() is { } line)
            {
                hear(line);
            }
            _peer = null;
        }
    }
}
