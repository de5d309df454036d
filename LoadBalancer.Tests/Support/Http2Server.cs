using System.Net;

namespace LoadBalancer.Tests.Support;

/// <summary>A backend that speaks HTTP/2 frame by frame: each connection is handed to the test's own code, numbered from 1.</summary>
internal sealed class Http2Server : IAsyncDisposable
{
    private readonly RawServer _server;

    /// <summary>Starts it.</summary>
    /// <param name="serve">What it does on a connection, after the preface was read and its SETTINGS were sent.</param>
    /// <param name="settings">The payload of its SETTINGS; null where the test sends what it wants itself.</param>
    /// <param name="at">Where; null for a free port of 127.0.0.1.</param>
    public Http2Server(Func<Http2ServerPeer, int, Task> serve, string? settings = "", EndPoint? at = null) => _server = new RawServer(
        async (peer, number) =>
        {
            using var connection = new Http2ServerPeer(peer);
            Connections[number] = connection;
            if (await connection.BeginAsync(settings))
            {
                await serve(connection, number);
            }
        },
        at);

    public string Address => _server.Address;

    /// <summary>Connections accepted so far, each of which is in <see cref="Connections"/>.</summary>
    public int Accepted => Connections.Count;

    /// <summary>The connections, by number.</summary>
    public System.Collections.Concurrent.ConcurrentDictionary<int, Http2ServerPeer> Connections { get; } = [];

    /// <summary>A server that answers every request with 200 and a body.</summary>
    public static Http2Server Answering(string body = "ok", string settings = "", EndPoint? at = null) => new(
        async (peer, _) =>
        {
            while (await peer.ReadRequestAsync() is { } request)
            {
                await peer.AnswerAsync(request.Stream, body);
            }
        },
        settings,
        at);

    /// <summary>Accepts no more connections; those that there are go on.</summary>
    public void StopListening() => _server.StopListening();

    /// <summary>See <see cref="RawServer.KillAsync"/>.</summary>
    public Task KillAsync() => _server.KillAsync();

    public ValueTask DisposeAsync() => _server.DisposeAsync();
}
