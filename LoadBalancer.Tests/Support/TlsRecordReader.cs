using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using LoadBalancer.Tls;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A client that notes what kind of TLS record came last. With TLS 1.2 an alert can be told from data although both are encrypted, and
/// close_notify is the only one that a server sends at an end in good order.
/// </summary>
internal sealed class TlsRecordReader : IAsyncDisposable
{
    /// <summary>The type of a record that holds an alert (RFC 5246 section 6.2.1).</summary>
    public const int Alert = 21;

    private readonly NotingStream _noting;

    private TlsRecordReader(Socket socket)
    {
        _noting = new NotingStream(new NetworkStream(socket, ownsSocket: true));
        Tls = new SslStream(_noting, leaveInnerStreamOpen: false, (_, _, _, _) => true);
    }

    /// <summary>What is inside TLS.</summary>
    public SslStream Tls { get; }

    /// <summary>The type of the record that came last.</summary>
    public int LastType => _noting.LastType;

    /// <summary>Connects and shakes hands with TLS 1.2.</summary>
    public static async Task<TlsRecordReader> ConnectAsync(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port);
        var reader = new TlsRecordReader(socket);
        await reader.Tls.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { EnabledSslProtocols = SslProtocols.Tls12 });
        return reader;
    }

    public ValueTask DisposeAsync() => Tls.DisposeAsync();

    private sealed class NotingStream(NetworkStream inner) : AsyncStream
    {
        private const int HeaderLength = 5;

        private readonly List<byte> _header = [];
        private int _left; // of the present record, after its header

        public int LastType { get; private set; }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var count = await inner.ReadAsync(buffer, cancellationToken);
            Note(buffer.Span[..count]);
            return count;
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            inner.WriteAsync(buffer, cancellationToken);

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }

        private void Note(ReadOnlySpan<byte> bytes)
        {
            foreach (var value in bytes)
            {
                if (_left > 0)
                {
                    _left--;
                    continue;
                }
                _header.Add(value);
                if (_header.Count == HeaderLength)
                {
                    LastType = _header[0];
                    _left = BinaryPrimitives.ReadUInt16BigEndian([_header[3], _header[4]]);
                    _header.Clear();
                }
            }
        }
    }
}
