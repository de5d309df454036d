using System.Net;
using System.Net.Sockets;
using ChatRoom;

/// <summary>A client's connection. When it is lost it connects again, to any server, and joins its rooms again.</summary>
/// <param name="balancer">The load balancer's address.</param>
/// <param name="received">Called with each line that arrives.</param>
internal sealed class ChatSession(IPEndPoint balancer, Action<string> received) : IDisposable
{
    private readonly Dictionary<string, string> _joined = []; // by room, the line that joined it
    private readonly CancellationTokenSource _stop = new();
    private volatile LinePeer? _server;

    /// <summary>Sends a line.</summary>
    /// <returns>Whether there is a connection.</returns>
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

    /// <summary>Stays connected until the session is disposed of.</summary>
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
                while (await peer.ReadAsync() is { } line)
                {
                    received(line);
                }
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException)
            {
                // The next attempt follows.
            }
            _server = null;
            if (!_stop.IsCancellationRequested)
            {
                received("(disconnected; connecting again)");
                await Task.Delay(TimeSpan.FromMilliseconds(500), TimeProvider.System, _stop.Token)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _server?.Dispose();
    }
}
