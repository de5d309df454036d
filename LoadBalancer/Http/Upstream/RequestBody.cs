using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Upstream;

/// <summary>The client's body on its way to a backend: streamed as it arrives, never held whole, and so readable only once.</summary>
internal sealed class RequestBody(HttpRequest request)
{
    private const int ChunkOverhead = 8 + 2 + 2; // size in hexadecimal, and two line ends

    private static readonly byte[] EmptyLastChunk = "0\r\n\r\n"u8.ToArray();

    /// <summary>Whether reading from the client has begun, after which nobody else can be sent the same body.</summary>
    public bool Consumed { get; private set; }

    /// <summary>Whether we wait for the client at this moment, rather than for the backend.</summary>
    public bool AwaitsClient { get; private set; }

    /// <summary>What is wrong with the client's message, where something is.</summary>
    public ForwardError? ClientFault { get; private set; }

    /// <summary>Its length where the client announced it; else it goes on chunked.</summary>
    public long? Length => request.ContentLength;

    /// <summary>
    /// Sends the body as it comes. If the client fails to deliver, the exchange is aborted, so that a backend never takes a part for
    /// the whole. If the backend no longer listens that is no error here: it may have answered already, and its answer counts.
    /// </summary>
    public async Task SendAsync(IUploadTarget target, TimeSpan idle)
    {
        Consumed = true;
        var reader = request.BodyReader;
        // Not by handing ReadAsync the token: Kestrel then believes for ever that a read is under way, and has to close the connection.
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
                    await FlushAsync(target); // It may be long in coming; what was sent need not wait for it.
                }
                read = await reading;
            }
            catch (BadHttpRequestException e)
            {
                ClientFault = e.StatusCode switch
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
                request.HttpContext.Abort(); // Kestrel learns of it only later, and till then takes it for our mistake.
                target.Abort(AbortCause.Client);
                throw;
            }
            catch (IOException)
            {
                ClientFault = ForwardError.RequestBody; // That is all that Kestrel says of some broken chunks.
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
                ClientFault = ForwardError.RequestBody;
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
            // No fault of the client's, to whom what is around this would put it down; the next attempt to send says it again.
        }
    }

    /// <summary>Ends a read that is under way, as an aborted upload must; no error where Kestrel has ended it already.</summary>
    internal static void CancelRead(PipeReader reader)
    {
        try
        {
            reader.CancelPendingRead();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The client's connection was aborted too, or its request is over; then the read ends by itself.
        }
    }

    // The trailers are there once the body has been read to its end. Null where there is something in them that must not be passed on.
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
                // Kestrel lets anything pass in trailers of HTTP/2, line ends too.
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
