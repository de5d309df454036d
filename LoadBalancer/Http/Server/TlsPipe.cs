using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;

namespace LoadBalancer.Http.Server;

/// <summary>What is inside TLS, as Kestrel reads and writes it. An idle connection holds no buffer.</summary>
internal sealed class TlsPipe(SslStream tls) : IDuplexPipe
{
    // As long as a record of TLS can be (RFC 8446 section 5.1): a large body is sent in few of them.
    private const int OutputPiece = 16 * 1024;

    /// <inheritdoc/>
    public PipeReader Input { get; } = PipeReader.Create(tls, new(MemoryPool<byte>.Shared, leaveOpen: true, useZeroByteReads: true));

    /// <inheritdoc/>
    public PipeWriter Output { get; } = PipeWriter.Create(tls, new(MemoryPool<byte>.Shared, OutputPiece, leaveOpen: true));

    /// <summary>
    /// Ends it: the client is told by close_notify that nothing was cut off. Where the connection was reset before, that fails, and so the
    /// client sees that something may be missing (RFC 8446 section 6.1, RFC 9112 section 9.8).
    /// </summary>
    public async Task EndAsync()
    {
        try
        {
            await Input.CompleteAsync();
            await Output.CompleteAsync();
            await tls.ShutdownAsync();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            // The client is gone.
        }
        await tls.DisposeAsync();
    }
}
