using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using Samples;

namespace ChatRoom;

/// <summary>
/// A connection that carries lines. A peer that reads too slowly is disconnected when too many lines wait for it; otherwise one slow
/// peer could delay all others.
/// </summary>
internal sealed class LinePeer : IDisposable
{
    private const int MaxWaitingLines = 1000;

    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false);

    private readonly TcpClient _client;
    private readonly StreamReader _reader;
    private readonly Channel<string> _outgoing = Channel.CreateBounded<string>(MaxWaitingLines);

    public LinePeer(TcpClient client)
    {
        _client = client;
        _reader = new StreamReader(client.GetStream(), Utf8);
        Background.Run(WriteAsync);
    }

    /// <summary>The next line; null when the connection has ended, for whatever reason.</summary>
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

    /// <summary>Queues a line to be sent.</summary>
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
            Dispose(); // ReadAsync then returns null.
        }
    }
}
