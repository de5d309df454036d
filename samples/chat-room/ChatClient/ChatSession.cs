using System.Net;
using System.Net.Sockets;
using ChatRoom;

/// <summary>A client's connection. When its server is gone it connects again, through the load balancer, and joins its rooms anew.</summary>
/// <param name="balancer">Where the load balancer is.</param>
/// <param name="hear">Told of each line that comes.</param>
internal sealed class ChatSession(IPEndPoint balancer, Action<string> hear) : IDisposable
{
    private readonly Dictionary<string, string> _joined = []; // by room, the line that joined it
    private readonly CancellationTokenSource _stop = new();
    private volatile LinePeer? _server;

    /// <summary>Says a line.</summary>
    /// <returns>Whether there is a server to say it to.</returns>
    public bool Say(string line)
    {
        if (line.Split(' ') is [("join" or "leave") and var verb, var room, ..])
        {
            lock (_joined)
            {
                _joined.Remove(room);
                if (verb == "join")
                {
                    _joined[room] = line;
                }
            }
        }
        var server = _server;
        server?.Send(line);
        return server is not null;
    }

    public async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            using var client = new TcpClient(balancer.AddressFamily);
            try
            {
                await client.ConnectAsync(balancer, _stop.Token);
                using var peer = new LinePeer(client);
                lock (_joined)
                {
                    _joined.Values.ToList().ForEach(peer.Send);
                }
                _server = peer;
                while (await peer.ReadAsync() is { } heard)
                {
                    hear(heard);
                }
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // It is tried again.
            }
            _server = null;
            if (!_stop.IsCancellationRequested)
            {
                hear("(disconnected; connecting again)");
                await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _server?.Dispose();
    }
}
