using System.Net.Security;
using System.Net.Sockets;

namespace LoadBalancer.Tls;

/// <summary>TLS over the connection to a backend, which knows whether its end was announced.</summary>
public sealed class BackendTlsStream : SslStream
{
    private readonly EndWatchingStream _inner;

    private BackendTlsStream(EndWatchingStream inner) : base(inner) => _inner = inner;

    /// <summary>
    /// Whether the connection has ended without close_notify. Then somebody in between may have cut it off (RFC 8446 section 6.1).
    /// </summary>
    /// <remarks>After close_notify nothing is read any more, not even the end of the connection.</remarks>
    public bool IsCutOff => _inner.HasEnded;

    /// <summary>Makes it over a connection, which belongs to it from now on.</summary>
    public static BackendTlsStream Over(Socket socket) => new(new EndWatchingStream(socket));

    private sealed class EndWatchingStream(Socket socket) : NetworkStream(socket, ownsSocket: true)
    {
        private volatile bool _hasEnded;

        public bool HasEnded => _hasEnded;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var count = await base.ReadAsync(buffer, cancellationToken);
            if (count == 0 && buffer.Length > 0) // SslStream also waits with an empty buffer.
            {
                _hasEnded = true;
            }
            return count;
        }
    }
}
