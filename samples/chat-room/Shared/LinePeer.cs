using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;

namespace ChatRoom;

/// <summary>A connection over which lines go. Who takes its lines too slowly is cut, rather than that everybody waits for it.</summary>
internal sealed class LinePeer : IDisposable
{
    private const int MostWaiting = 1000;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    private readonly TcpClient _client;
    private readonly StreamReader _reader;
    private readonly Channel<string> _outgoing = Channel.CreateBounded<string>(MostWaiting);

    public LinePeer(TcpClient client)
    {
        _client = client;
        _reader = new StreamReader(client.GetStream(), Utf8);
        _ = WriteAsync();
    }

    /// <summary>The next line; null when the other side has ended, in whatever way.</summary>
    public async Task<string?> ReadAsync()
    {
        try
        {
            return await _reader.ReadLineAsync();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            return null;
        }
    }

    public void Send(string line)
    {
        if (!_outgoing.Writer.TryWrite(line))
        {
            Dispose();
        }
    }

    public void Dispose()
    {
        _outgoing.Writer.TryComplete();
        _client.Dispose();
    }

    private async Task WriteAsync()
    {
        try
        {
            await using var writer = new StreamWriter(_client.GetStream(), Utf8) { NewLine = "\n", AutoFlush = true };
            await foreach (var line in _outgoing.Reader.ReadAllAsync())
            {
                await writer.WriteLineAsync(line);
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            Dispose(); // Its reader sees the end.
        }
    }
}
