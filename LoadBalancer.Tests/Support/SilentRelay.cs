using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// Stands between a node and a server on this machine, and can fall silent: every connection stays open, and no byte moves any more, as
/// with a server that has stopped working or a network that swallows everything.
/// </summary>
internal sealed class SilentRelay : IAsyncDisposable
{
    private readonly int _server;
    private readonly RawServer _front;
    private volatile bool _isSilent;

    /// <summary>Relays to a port of this machine.</summary>
    public SilentRelay(int server)
    {
        _server = server;
        _front = new RawServer(async (peer, _) =>
        {
            using var back = new TcpClient();
            await back.ConnectAsync(IPAddress.Loopback, _server);
            await Task.WhenAny(CopyAsync(peer.Stream, back.GetStream()), CopyAsync(back.GetStream(), peer.Stream));
            while (_isSilent && await peer.ReadSomeAsync() is { Length: > 0 })
            {
                // The server has given up; nobody tells the node.
            }
        });
    }

    public int Port => _front.Port;

    /// <summary>Moves nothing from now on.</summary>
    public void FallSilent() => _isSilent = true;

    /// <summary>Serves connections that are new from now on.</summary>
    public void Recover() => _isSilent = false;

    public ValueTask DisposeAsync() => _front.DisposeAsync();

    private async Task CopyAsync(Stream from, Stream to)
    {
        var buffer = new byte[64 * 1024];
        var isCut = false;
        try
        {
            while (await from.ReadAsync(buffer) is > 0 and var count)
            {
                isCut |= _isSilent;
                if (!isCut)
                {
                    await to.WriteAsync(buffer.AsMemory(0, count));
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // It has ended.
        }
    }
}
