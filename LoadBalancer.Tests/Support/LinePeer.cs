using System.Net;
using System.Net.Sockets;
using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>A peer that speaks in lines of UTF-8.</summary>
internal sealed class LinePeer : IDisposable
{
    private readonly Socket _socket;
    private readonly StreamReader _reader;

    private LinePeer(Socket socket) => (_socket, _reader) = (socket, new StreamReader(new NetworkStream(socket)));

    public static async Task<LinePeer> ConnectAsync(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port));
        return new LinePeer(socket);
    }

    /// <summary>Sends lines, each with its end.</summary>
    public Task SendAsync(params string[] lines) => SendRawAsync(Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => line + "\n"))));

    public async Task SendRawAsync(ReadOnlyMemory<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _socket.SendAsync(bytes)..];
        }
    }

    /// <summary>Reads a line; null where the connection has ended.</summary>
    public async Task<string?> ReadAsync()
    {
        using var enough = new CancellationTokenSource(TimeLimits.Event);
        try
        {
            return await _reader.ReadLineAsync(enough.Token);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Reads so many lines.</summary>
    public async Task<string?[]> ReadAsync(int count)
    {
        var lines = new string?[count];
        for (var i = 0; i < count; i++)
        {
            lines[i] = await ReadAsync();
        }
        return lines;
    }

    /// <summary>Reads the next line, which must say that there is a task, and returns its id.</summary>
    public async Task<string> ReadTaskAsync()
    {
        var parts = (await ReadAsync() ?? "").Split('|', 3);
        parts[0].Should().Be("ASSIGN_TASK");
        return parts[1];
    }

    /// <summary>Answers every task, until the connection ends.</summary>
    public async Task WorkAsync(Func<string, string> work)
    {
        try
        {
            while (await _reader.ReadLineAsync() is { } line)
            {
                if (line.Split('|', 3) is ["ASSIGN_TASK", var id, var data])
                {
                    await SendAsync($"TASK_RESULT|{id}|{work(data)}");
                }
            }
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // It has ended.
        }
    }

    /// <summary>Ends this half.</summary>
    public void EndSending() => _socket.Shutdown(SocketShutdown.Send);

    /// <summary>Resets the connection.</summary>
    public void Reset() => _socket.Close(0);

    public void Dispose()
    {
        _reader.Dispose();
        _socket.Dispose();
    }
}
