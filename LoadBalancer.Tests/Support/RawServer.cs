using System.Net;
using System.Net.Sockets;
using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>A server that speaks whatever bytes a test wants: each connection is handed to the test's own code, numbered from 1.</summary>
internal sealed class RawServer : IAsyncDisposable
{
    private readonly Func<RawPeer, int, Task> _serve;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _connections = [];
    private readonly List<RawPeer> _peers = [];
    private readonly Lock _gate = new();
    private readonly EndPoint _at;
    private Socket _listener;
    private Task _accepting;
    private int _accepted;

    /// <summary>Starts it.</summary>
    /// <param name="serve">What it does on a connection.</param>
    /// <param name="at">Where; null for a free port of 127.0.0.1.</param>
    public RawServer(Func<RawPeer, int, Task> serve, EndPoint? at = null)
    {
        _serve = serve;
        Port = (at as IPEndPoint)?.Port ?? (at is null ? ReservedPorts.Next() : 0);
        _at = at ?? new IPEndPoint(IPAddress.Loopback, Port);
        _listener = Listen();
        _accepting = AcceptAsync(_listener);
    }

    public int Port { get; }

    public string Address => $"http://127.0.0.1:{Port}";

    /// <summary>Connections accepted so far.</summary>
    public int Accepted => Volatile.Read(ref _accepted);

    /// <summary>Connections whose code has not ended.</summary>
    public int Open
    {
        get
        {
            lock (_gate)
            {
                return _connections.Count(connection => !connection.IsCompleted);
            }
        }
    }

    /// <summary>A server that answers each request on a connection with the same bytes.</summary>
    public static RawServer Answering(string response, EndPoint? at = null) => new(
        async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                await peer.SendAsync(response);
            }
        },
        at);

    /// <summary>A server that sends back what it gets, and ends when its client does.</summary>
    public static RawServer Echoing() => new(async (peer, _) =>
    {
        while (await peer.ReadSomeAsync() is { Length: > 0 } text)
        {
            await peer.SendAsync(text);
        }
    });

    /// <summary>A server that tells when its one request has arrived, and answers it when it is told to.</summary>
    public static RawServer AnsweringWhen(Task told, TaskCompletionSource arrived, string response) => new(async (peer, _) =>
    {
        await peer.ReadHeadAsync();
        arrived.SetResult();
        await told;
        await peer.SendAsync(response);
    });

    /// <summary>Stops listening and resets every connection: what a killed process looks like from outside.</summary>
    public async Task KillAsync()
    {
        _listener.Dispose();
        await _accepting;
        lock (_gate)
        {
            _peers.ForEach(peer => peer.Reset());
            _peers.Clear();
        }
    }

    /// <summary>Accepts no more connections; those that there are go on.</summary>
    public void StopListening() => _listener.Dispose();

    /// <summary>Listens again.</summary>
    public void Restart()
    {
        _listener = Listen();
        _accepting = AcceptAsync(_listener);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await KillAsync();
        foreach (var connection in _connections)
        {
            await connection;
        }
        _stop.Dispose();
    }

    private Socket Listen()
    {
        var socket = new Socket(_at.AddressFamily, SocketType.Stream, _at is IPEndPoint ? ProtocolType.Tcp : ProtocolType.Unspecified);
        if (_at is IPEndPoint)
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        }
        socket.Bind(_at);
        socket.Listen(512);
        return socket;
    }

    private async Task AcceptAsync(Socket listener)
    {
        while (true)
        {
            RawPeer peer;
            try
            {
                peer = new RawPeer(await listener.AcceptAsync(_stop.Token));
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                return;
            }
            lock (_gate)
            {
                _peers.Add(peer);
                _connections.Add(ServeAsync(peer, Interlocked.Increment(ref _accepted)));
            }
        }
    }

    private async Task ServeAsync(RawPeer peer, int number)
    {
        await Task.Yield();
        using (peer)
        {
            try
            {
                await _serve(peer, number).WaitAsync(_stop.Token);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                // The test is over, or the other side is gone.
            }
        }
    }
}

/// <summary>One end of a TCP connection, in bytes.</summary>
internal sealed class RawPeer(Socket socket) : IDisposable
{
    private readonly List<byte> _received = [];

    /// <summary>The connection as a stream, for those who read no other way; what was read already is not in it.</summary>
    public NetworkStream Stream => new(socket);

    /// <summary>Its own end.</summary>
    public IPEndPoint Local => (IPEndPoint)socket.LocalEndPoint!;

    /// <summary>Waits until connections to a port are refused.</summary>
    public static async Task RefusedAsync(int port) => await Eventually.BeTrueAsync(
        async () =>
        {
            try
            {
                using var peer = await ConnectAsync(port);
                return false;
            }
            catch (SocketException)
            {
                return true;
            }
        },
        "nobody listens there");

    /// <summary>Connects to a port.</summary>
    /// <param name="port">The port.</param>
    /// <param name="receiveBuffer">How much its system takes in while nothing is read; null for what the system finds right.</param>
    public static async Task<RawPeer> ConnectAsync(int port, int? receiveBuffer = null)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        if (receiveBuffer is { } size)
        {
            socket.ReceiveBufferSize = size;
        }
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port));
        return new RawPeer(socket);
    }

    /// <summary>Connects to the Unix socket at a path.</summary>
    public static async Task<RawPeer> ConnectAsync(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path));
        return new RawPeer(socket);
    }

    /// <summary>Sends a request on a connection of its own and reads until the other side closes it.</summary>
    public static async Task<string> ExchangeAsync(string path, string request)
    {
        using var peer = await ConnectAsync(path);
        await peer.SendAsync(request);
        return await peer.ReadToEndAsync();
    }

    /// <inheritdoc cref="ExchangeAsync(string, string)"/>
    public static async Task<string> ExchangeAsync(int port, string request)
    {
        using var peer = await ConnectAsync(port);
        await peer.SendAsync(request);
        return await peer.ReadToEndAsync();
    }

    /// <summary>Sends text, each character as one byte.</summary>
    public async Task SendAsync(string text)
    {
        ReadOnlyMemory<byte> bytes = Encoding.Latin1.GetBytes(text);
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await socket.SendAsync(bytes)..];
        }
    }

    /// <summary>Sends text one byte at a time, each in a packet of its own.</summary>
    public async Task SendByteByByteAsync(string text)
    {
        foreach (var c in text)
        {
            await SendAsync(c.ToString());
            await Task.Yield();
        }
    }

    /// <summary>Reads up to and including the empty line; null where the connection ended before anything came.</summary>
    public async Task<string?> ReadHeadAsync() => await ReadUntilAsync("\r\n\r\n");

    /// <summary>Reads up to and including the text.</summary>
    public async Task<string?> ReadUntilAsync(string end)
    {
        while (true)
        {
            var text = Encoding.Latin1.GetString([.. _received]);
            var position = text.IndexOf(end, StringComparison.Ordinal);
            if (position >= 0)
            {
                return Take(position + end.Length);
            }
            if (!await FillAsync())
            {
                return text.Length == 0 ? null : throw new SocketException((int)SocketError.ConnectionReset);
            }
        }
    }

    /// <summary>Reads this many bytes, or fewer where the connection ends.</summary>
    public async Task<string> ReadAsync(int count)
    {
        while (_received.Count < count && await FillAsync())
        {
        }
        return Take(Math.Min(count, _received.Count));
    }

    /// <summary>Reads what is there, at least a byte; nothing where the connection has ended.</summary>
    public async Task<string> ReadSomeAsync()
    {
        if (_received.Count == 0)
        {
            await FillAsync();
        }
        return Take(_received.Count);
    }

    /// <summary>Reads everything until the connection ends, and says how it does.</summary>
    public async Task<(string Text, bool IsReset)> ReadToItsEndAsync()
    {
        try
        {
            while (await FillAsync())
            {
            }
            return (Take(_received.Count), false);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return (Take(_received.Count), true);
        }
    }

    /// <summary>Reads everything until the connection ends; a reset is an end like any other.</summary>
    public async Task<string> ReadToEndAsync()
    {
        try
        {
            while (await FillAsync())
            {
            }
        }
        catch (SocketException)
        {
            // What came before counts.
        }
        return Take(_received.Count);
    }

    /// <summary>Reads a response whose length is known, head and body.</summary>
    public async Task<string> ReadResponseAsync()
    {
        var head = await ReadHeadAsync() ?? "";
        var length = head.Split("\r\n").Where(line => line.StartsWith("Content-Length:", StringComparison.OrdinalIgnoreCase))
            .Select(line => line[15..].Trim()).FirstOrDefault("0");
        return head + await ReadAsync(int.Parse(length, System.Globalization.CultureInfo.InvariantCulture));
    }

    /// <summary>Ends our half.</summary>
    public void EndSending() => socket.Shutdown(SocketShutdown.Send);

    /// <summary>Closes with a reset.</summary>
    public void Reset()
    {
        try
        {
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed already.
        }
        socket.Dispose();
    }

    public void Dispose() => socket.Dispose();

    private async Task<bool> FillAsync()
    {
        var buffer = new byte[64 * 1024];
        var count = await socket.ReceiveAsync(buffer);
        _received.AddRange(buffer.AsSpan(0, count));
        return count > 0;
    }

    private string Take(int count)
    {
        var text = Encoding.Latin1.GetString([.. _received.Take(count)]);
        _received.RemoveRange(0, count);
        return text;
    }
}
