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
    private readonly SslStream _tls;

    private TlsServerConnection(IConnection inner) => (_inner, _tls) = (inner, new SslStream(new ConnectionStream(inner)));

    /// <summary>Shakes hands.</summary>
    /// <exception cref="Exception">Of many kinds: the client refuses, is gone, or does not speak TLS.</exception>
    public static async Task<TlsServerConnection> OpenAsync(IConnection inner, CertificateStore certificates)
    {
        var connection = new TlsServerConnection(inner);
        try
        {
            await connection._tls.AuthenticateAsServerAsync((_, hello, _, _) => new(certificates.Select(hello.ServerName)), null);
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

    /// <summary>A connection as the stream that the framework's TLS needs.</summary>
    private sealed class ConnectionStream(IConnection connection) : Stream
    {
        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            connection.ReceiveAsync(buffer);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            connection.SendAsync(buffer);

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            connection.Dispose();
            base.Dispose(disposing);
        }
    }
}
