using System.Buffers;
using System.Globalization;
using System.Text;
using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>Sends a body, or a tunnel's bytes, over an HTTP/1.1 connection.</summary>
/// <param name="connection">The connection.</param>
/// <param name="isChunked">Whether it is sent in chunks (RFC 9112 section 7.1), which show its end.</param>
internal sealed class Http1Upload(Http1Connection connection, bool isChunked) : IUploadTarget
{
    private const int ChunkOverhead = 8 + 2 + 2 + 5; // size in hexadecimal, two line ends, the last chunk

    /// <inheritdoc/>
    public bool MayRefuse => false;

    /// <inheritdoc/>
    public CancellationToken Aborted => connection.Aborted;

    private static ReadOnlySpan<byte> LastChunk => "0\r\n\r\n"u8;

    /// <inheritdoc/>
    public bool CanEndTunnel => false;

    /// <inheritdoc/>
    public void SetDeadline(TimeSpan fromNow) => connection.SetDeadline(fromNow);

    /// <inheritdoc/>
    public void Abort(AbortCause cause) => connection.Abort(cause);

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> piece, bool isLast) =>
        isChunked ? SendChunkAsync(piece, isLast) : connection.SendAsync(piece);

    /// <inheritdoc/>
    public ValueTask EndAsync(IReadOnlyList<(string Name, string Value)> trailers)
    {
        if (!isChunked)
        {
            return ValueTask.CompletedTask;
        }
        var text = new StringBuilder("0\r\n");
        foreach (var (name, value) in trailers)
        {
            text.Append(name).Append(": ").Append(value).Append("\r\n");
        }
        return connection.SendAsync(Encoding.Latin1.GetBytes(text.Append("\r\n").ToString()));
    }

    /// <inheritdoc/>
    public void Flush()
    {
        // Every part is sent at once.
    }

    private async ValueTask SendChunkAsync(ReadOnlyMemory<byte> piece, bool isLast)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(piece.Length + ChunkOverhead);
        try
        {
            piece.Length.TryFormat(buffer, out var length, "x", CultureInfo.InvariantCulture);
            "\r\n"u8.CopyTo(buffer.AsSpan(length));
            piece.CopyTo(buffer.AsMemory(length + 2));
            length += 2 + piece.Length;
            "\r\n"u8.CopyTo(buffer.AsSpan(length));
            length += 2;
            if (isLast)
            {
                LastChunk.CopyTo(buffer.AsSpan(length));
                length += LastChunk.Length;
            }
            await connection.SendAsync(buffer.AsMemory(0, length));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
