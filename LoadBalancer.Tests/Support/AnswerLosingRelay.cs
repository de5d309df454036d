using System.Net;
using System.Net.Sockets;
using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>Stands between a node and a server on this machine, and can lose an answer: the server has done what it was asked.</summary>
internal sealed class AnswerLosingRelay : IAsyncDisposable
{
    private readonly RawServer _front;
    private volatile string? _lost;
    private int _count;

    /// <summary>Relays to a port of this machine.</summary>
    public AnswerLosingRelay(int server) => _front = new RawServer(async (peer, _) =>
    {
        using var back = new TcpClient();
        await back.ConnectAsync(IPAddress.Loopback, server);
        var isLost = new StrongBox();
        await Task.WhenAny(CopyAsync(peer.Stream, back.GetStream(), chunk => Look(chunk, isLost)),
            CopyAsync(back.GetStream(), peer.Stream, _ => !isLost.Value));
    });

    public int Port => _front.Port;

    /// <summary>How many answers were lost.</summary>
    public int Lost => Volatile.Read(ref _count);

    /// <summary>Loses the answer to the next request for a path.</summary>
    public void LoseAnswerTo(string path) => _lost = path;

    public ValueTask DisposeAsync() => _front.DisposeAsync();

    private bool Look(ReadOnlyMemory<byte> chunk, StrongBox isLost)
    {
        if (_lost is { } path && Encoding.Latin1.GetString(chunk.Span).Contains(path, StringComparison.Ordinal))
        {
            (_lost, isLost.Value) = (null, true);
            Interlocked.Increment(ref _count);
        }
        return true;
    }

    private static async Task CopyAsync(Stream from, Stream to, Func<ReadOnlyMemory<byte>, bool> goesOn)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            while (await from.ReadAsync(buffer) is > 0 and var count && goesOn(buffer.AsMemory(0, count)))
            {
                await to.WriteAsync(buffer.AsMemory(0, count));
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // It has ended.
        }
    }

    private sealed class StrongBox
    {
        public volatile bool Value;
    }
}
