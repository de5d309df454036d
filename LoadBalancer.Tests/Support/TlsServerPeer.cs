using System.Net.Security;
using System.Text;
using LoadBalancer.Tls;

namespace LoadBalancer.Tests.Support;

/// <summary>A connection of a <see cref="TlsServer"/>.</summary>
internal sealed class TlsServerPeer
{
    private readonly RawPeer _peer;
    private readonly WatchedStream _watched;

    public TlsServerPeer(RawPeer peer)
    {
        (_peer, _watched) = (peer, new WatchedStream(peer.Stream));
        Stream = new SslStream(_watched, leaveInnerStreamOpen: true);
    }

    /// <summary>What is inside TLS.</summary>
    public SslStream Stream { get; }

    /// <summary>Ends the sending half of the TCP connection, without a word of TLS.</summary>
    public void EndTcp() => _peer.EndSending();

    /// <summary>Reads the head of a request.</summary>
    /// <returns>False where there is none.</returns>
    public async Task<bool> ReadHeadAsync()
    {
        var head = new StringBuilder();
        var buffer = new byte[1];
        while (!head.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal))
        {
            if (await Stream.ReadAsync(buffer) == 0)
            {
                return false;
            }
            head.Append((char)buffer[0]);
        }
        return true;
    }

    /// <summary>Reads to the end.</summary>
    /// <returns>Whether that was said by TLS, rather than by TCP alone.</returns>
    public async Task<bool> EndsWithCloseNotifyAsync()
    {
        try
        {
            await Stream.CopyToAsync(System.IO.Stream.Null);
            return !_watched.HasEnded;
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Knows whether the connection below TLS has ended.</summary>
    private sealed class WatchedStream(Stream inner) : AsyncStream
    {
        public bool HasEnded { get; private set; }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var count = await inner.ReadAsync(buffer, cancellationToken);
            HasEnded |= count == 0 && buffer.Length > 0;
            return count;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            inner.WriteAsync(buffer, cancellationToken);
    }
}
