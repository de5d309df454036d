using System.Buffers;
using System.Net.Security;
using LoadBalancer.Transport;

namespace LoadBalancer.Tls;

/// <summary>
/// A client's connection through TLS, which ends here. The end of a half is close_notify, followed by the end of the TCP connection's half
/// (RFC 8446 section 6.1).
/// </summary>
internal sealed class TlsServerConnection : IConnection
{
    private readonly IConnection _inner;
    private readonly ConnectionStream _stream;
    private readonly SslStream _tls;

    private TlsServerConnection(IConnection inner)
    {
        (_inner, _stream) = (inner, new ConnectionStream(inner));
        _tls = new SslStream(_stream);
    }

    /// <summary>Shakes hands.</summary>
    /// <exception cref="Exception">Of many kinds: the client refuses, is gone, or does not speak TLS.</exception>
    public static async Task<TlsServerConnection> OpenAsync(IConnection inner, CertificateStore certificates)
    {
        var connection = new TlsServerConnection(inner);
        try
        {
            var hello = await connection.ReadHelloAsync();
            await connection._tls.AuthenticateAsServerAsync(certificates.Select(hello));
            return connection;
        }
        catch
        {
            connection.Dispose(); // TLS holds memory that the garbage collector does not know of.
            throw;
        }
    }

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data) => _tls.WriteAsync(data);

    /// <inheritdoc/>
    public ValueTask<int> ReceiveAsync(Memory<byte> memory) => _tls.ReadAsync(memory);

    /// <inheritdoc/>
    public async ValueTask EndSendingAsync()
    {
        await _tls.ShutdownAsync().ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // The client may be gone.
        await _inner.EndSendingAsync();
    }

    /// <inheritdoc/>
    public void Reset() => _inner.Reset();

    /// <inheritdoc/>
    public void Dispose()
    {
        _inner.Dispose(); // First, so that no alert is waited for.
        _tls.Dispose();
    }

    private async Task<ClientHello> ReadHelloAsync()
    {
        while (true)
        {
            var count = await _inner.ReceiveAsync(_stream.Room());
            if (count == 0)
            {
                return default;
            }
            if (ClientHello.TryRead(_stream.Add(count), out var hello))
            {
                return hello;
            }
        }
    }

    /// <summary>A connection as the stream that the framework's TLS needs. It gives the bytes that were read ahead first.</summary>
    private sealed class ConnectionStream(IConnection connection) : AsyncStream
    {
        private const int FirstLength = 2 * 1024; // A hello with a key for a post-quantum exchange has about 1.8 KiB.

        private byte[]? _ahead;
        private int _start;
        private int _end;

        /// <summary>Room for more bytes that are read ahead.</summary>
        public Memory<byte> Room()
        {
            _ahead ??= ArrayPool<byte>.Shared.Rent(FirstLength);
            if (_end == _ahead.Length)
            {
                var larger = ArrayPool<byte>.Shared.Rent(2 * _end);
                _ahead.CopyTo(larger, 0);
                ArrayPool<byte>.Shared.Return(_ahead);
                _ahead = larger;
            }
            return _ahead.AsMemory(_end);
        }

        /// <summary>So many bytes were read ahead.</summary>
        /// <returns>All of them.</returns>
        public ReadOnlySpan<byte> Add(int count)
        {
            _end += count;
            return _ahead.AsSpan(0, _end);
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_ahead is null)
            {
                return connection.ReceiveAsync(buffer);
            }
            var count = Math.Min(buffer.Length, _end - _start);
            _ahead.AsSpan(_start, count).CopyTo(buffer.Span);
            _start += count;
            if (_start == _end)
            {
                ArrayPool<byte>.Shared.Return(_ahead);
                _ahead = null;
            }
            return new(count);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            connection.SendAsync(buffer);

        protected override void Dispose(bool disposing)
        {
            connection.Dispose();
            base.Dispose(disposing);
        }
    }
}
