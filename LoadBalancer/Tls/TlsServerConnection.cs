using System.Net.Security;
using LoadBalancer.Transport;

namespace LoadBalancer.Tls;

/// <summary>A client's wire through TLS, which ends here. The end of a half is close_notify, which is followed by the connection's own (RFC 8446 section 6.1).</summary>
internal sealed class TlsServerConnection : IConnection
{
    private readonly IConnection _inner;
    private readonly SslStream _tls;

    private TlsServerConnection(IConnection inner) => (_inner, _tls) = (inner, new SslStream(new WireStream(inner)));

    /// <summary>Shakes hands.</summary>
    /// <exception cref="Exception">Of many kinds: the client does not want, is gone, or speaks something else.</exception>
    public static async Task<TlsServerConnection> OpenAsync(IConnection inner, CertificateStore certificates)
    {
        var wire = new TlsServerConnection(inner);
        try
        {
            await wire._tls.AuthenticateAsServerAsync((_, hello, _, _) => new(certificates.Select(hello.ServerName)), null);
            return wire;
        }
        catch
        {
            wire.Dispose(); // What TLS has of the system's memory is not known to the collector, which would come late.
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

    /// <summary>A wire as what the framework's TLS wants.</summary>
    private sealed class WireStream(IConnection wire) : Stream
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

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => wire.ReceiveAsync(buffer);

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => wire.SendAsync(buffer);

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
            wire.Dispose();
            base.Dispose(disposing);
        }
    }
}
