using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Upstream;

/// <summary>The client's body: streamed to a backend as it arrives, never buffered as a whole, and so readable only once.</summary>
internal sealed class RequestBody(HttpRequest request)
{
    private const int ChunkOverhead = 8 + 2 + 2; // size in hexadecimal, and two line ends

    private static readonly byte[] EmptyLastChunk = "0\r\n\r\n"u8.ToArray();

    /// <summary>Whether reading from the client has begun; then the body cannot be sent to another backend.</summary>
    public bool Consumed { get; private set; }

    /// <summary>Whether the upload waits for the client, and not for the backend.</summary>
    public bool AwaitsClient { get; private set; }

    /// <summary>The error in the client's message; null where there is none.</summary>
    public ForwardError? ClientError { get; private set; }

    /// <summary>Its length where the client announced it; else it is sent in chunks.</summary>
    public long? Length => request.ContentLength;

    /// <summary>
    /// Sends the body as it arrives. If the client does not send all of it, the exchange is aborted, so that the backend never takes a
    /// part for the whole. If the backend stops reading, its response counts, which it may have sent already.
    /// </summary>
    public async Task SendAsync(IUploadTarget target, TimeSpan idle)
    {
        Consumed = true;
        var reader = request.BodyReader;
        // The token is not passed to ReadAsync: Kestrel would then take the read for unfinished for ever, and close the connection.
        using var aborted = target.Aborted.UnsafeRegister(static reader => CancelRead((PipeReader)reader!), reader);
        while (true)
        {
            AwaitsClient = true;
            target.SetDeadline(idle);
            ReadResult read;
            try
            {
                var reading = reader.ReadAsync();
                if (!reading.IsCompleted)
                {
                    await FlushAsync(target); // The next piece may take long. What was sent need not wait for it.
                }
                read = await reading;
            }
            catch (BadHttpRequestException e)
            {
                ClientError = e.StatusCode switch
                {
                    StatusCodes.Status413PayloadTooLarge => ForwardError.RequestTooLarge,
                    StatusCodes.Status408RequestTimeout => ForwardError.RequestTimeout,
                    _ => ForwardError.RequestBody,
                };
                target.Abort(AbortCause.Client);
                throw;
            }
            catch (ConnectionResetException)
            {
                request.HttpContext.Abort(); // Kestrel notices the reset later, and would log an error before that.
                target.Abort(AbortCause.Client);
                throw;
            }
            catch (IOException)
            {
                ClientError = ForwardError.RequestBody; // Kestrel reports some malformed chunks in this way.
                target.Abort(AbortCause.Client);
                throw;
            }
            if (read.IsCanceled)
            {
                reader.AdvanceTo(read.Buffer.Start);
                throw new OperationCanceledException("the connection was aborted");
            }
            AwaitsClient = false;

            try
            {
                foreach (var segment in read.Buffer)
                {
                    target.SetDeadline(idle);
                    await SendPieceAsync(target, segment);
                }
            }
            finally
            {
                reader.AdvanceTo(read.Buffer.End);
            }
            if (read.IsCompleted)
            {
                break;
            }
        }
        if (Length is null && target.WantsChunks)
        {
            if (LastChunk() is not { } lastChunk)
            {
                ClientError = ForwardError.RequestBody;
                target.Abort(AbortCause.Client);
                throw new IOException("an invalid trailer");
            }
            await target.SendAsync(lastChunk);
        }
    }

    private static async ValueTask FlushAsync(IUploadTarget target)
    {
        try
        {
            await target.FlushAsync();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // An error of the backend; the handlers around this call would take it for one of the client. The next send reports it.
        }
    }

    /// <summary>Ends a read, because the upload is aborted; no error where Kestrel has ended it already.</summary>
    internal static void CancelRead(PipeReader reader)
    {
        try
        {
            reader.CancelPendingRead();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The client's connection was aborted too, or its request is over. Then the read ends by itself.
        }
    }

    // The trailers are available once the body was read to its end. Null where they must not be passed on.
    private byte[]? LastChunk()
    {
        if (request.HttpContext.Features.Get<IHttpRequestTrailersFeature>() is not { Available: true, Trailers: { Count: > 0 } trailers })
        {
            return EmptyLastChunk;
        }
        var text = new StringBuilder("0\r\n");
        foreach (var (name, values) in trailers)
        {
            if (!RequestRules.IsFieldName(name))
            {
                return null;
            }
            foreach (var value in HeaderRules.IsTrailer(name) ? values : default)
            {
                // Kestrel does not check trailers of HTTP/2: they may even contain line ends.
                if (!RequestRules.IsFieldValue(value!))
                {
                    return null;
                }
                text.Append(name).Append(": ").Append(value).Append("\r\n");
            }
        }
        return Encoding.Latin1.GetBytes(text.Append("\r\n").ToString());
    }

    private ValueTask SendPieceAsync(IUploadTarget target, ReadOnlyMemory<byte> piece) =>
        piece.IsEmpty ? ValueTask.CompletedTask // An empty chunk would be the last.
        : Length is null && target.WantsChunks ? SendChunkAsync(target, piece)
        : target.SendAsync(piece);

    private static async ValueTask SendChunkAsync(IUploadTarget target, ReadOnlyMemory<byte> piece)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(piece.Length + ChunkOverhead);
        try
        {
            piece.Length.TryFormat(buffer, out var length, "x", CultureInfo.InvariantCulture);
            "\r\n"u8.CopyTo(buffer.AsSpan(length));
            piece.CopyTo(buffer.AsMemory(length + 2));
            "\r\n"u8.CopyTo(buffer.AsSpan(length + 2 + piece.Length));
            await target.SendAsync(buffer.AsMemory(0, length + 2 + piece.Length + 2));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
