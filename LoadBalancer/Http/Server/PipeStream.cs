using System.Buffers;
using System.IO.Pipelines;
using LoadBalancer.Tls;

namespace LoadBalancer.Http.Server;

/// <summary>A connection's pipe as a stream: beneath TLS, and as a tunnel.</summary>
internal sealed class PipeStream(IDuplexPipe pipe) : AsyncStream
{
    /// <inheritdoc/>
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = await pipe.Input.ReadAsync(cancellationToken);
        var bytes = read.Buffer;
        if (read.IsCanceled && bytes.IsEmpty)
        {
            throw new OperationCanceledException("the read was cancelled");
        }
        var part = bytes.Slice(0, Math.Min(buffer.Length, bytes.Length));
        part.CopyTo(buffer.Span);
        var length = (int)part.Length; // Not after the next line: the pipe may use the memory for something else then.
        pipe.Input.AdvanceTo(part.End);
        return length;
    }

    /// <inheritdoc/>
    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
        await pipe.Output.WriteAsync(buffer, cancellationToken);
}
