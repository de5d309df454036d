using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>Copies a backend's HTTP/1.1 response to the client.</summary>
internal static class ResponseRelay
{
    // Large bodies are copied in steps of this size, directly from the backend's socket to Kestrel's buffer.
    private const int StepSize = 64 * 1024;

    /// <summary>Copies status and header fields, except the hop-by-hop ones.</summary>
    public static void CopyHead(Http1Exchange from, HttpResponse to)
    {
        to.StatusCode = from.Head.Status;
        // Kestrel sends ASCII only, and would write ? for every other byte. Clients should ignore the phrase (RFC 9112 section 4).
        if (from.Head.Reason != ReasonPhrases.GetReasonPhrase(from.Head.Status) && Ascii.IsValid(from.Head.Reason))
        {
            to.HttpContext.Features.Get<IHttpResponseFeature>()!.ReasonPhrase = from.Head.Reason;
        }
        var fields = from.Connection.Headers;
        ResponseFields.Copy(fields, from.Head.Status, from.Head.NamesFields ? NamedByConnection(fields) : null, to);
    }

    /// <summary>Streams the body; every piece is sent to the client before the next is waited for.</summary>
    /// <returns>Null where the body is complete, or the client is gone; else what the backend did wrong.</returns>
    public static ValueTask<string?> CopyBodyAsync(Http1Exchange from, HttpContext context, TimeoutOptions timeouts)
    {
        // Most bodies arrive together with their head: no state machine for them.
        var length = from.Head.ContentLength;
        if (from.Head.Framing == BodyFraming.ContentLength && length <= from.Connection.Unread.Length && HasBody(from, context))
        {
            from.BytesRelayed = length > 0 ? Take(from.Connection, from.BodyOf(context.Response), length) : 0;
            from.Connection.EndDeadline();
            return new((string?)null);
        }
        return StreamBodyAsync(from, context, timeouts);
    }

    // Methods are case-sensitive (RFC 9110 section 9.1); HttpMethods.IsHead is not.
    private static bool HasBody(Http1Exchange from, HttpContext context) =>
        from.Head.Status is not (204 or 205 or 304) && context.Request.Method != HttpMethods.Head;

    private static async ValueTask<string?> StreamBodyAsync(Http1Exchange from, HttpContext context, TimeoutOptions timeouts)
    {
        var idle = timeouts.Idle;
        try
        {
            switch (HasBody(from, context) ? from.Head.Framing : BodyFraming.None)
            {
                case BodyFraming.ContentLength:
                    await CopyAsync(from, from.BodyOf(context.Response), from.Head.ContentLength, idle);
                    break;
                case BodyFraming.Chunked:
                    await CopyChunkedAsync(from, context.Response, idle);
                    break;
                case BodyFraming.UntilClose:
                    await CopyAsync(from, from.BodyOf(context.Response), long.MaxValue, idle);
                    break;
            }
            await BodyCopy.EndAsync(from, context.Response, idle);
            from.Connection.EndDeadline();
            return null;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or MalformedResponseException
            or OperationCanceledException)
        {
            return from.IsClientGone ? null : ExchangeFailure.OfBody(e, from.Connection.AbortCause, timeouts);
        }
    }

    private static HashSet<string>? NamedByConnection(HeaderLines fields)
    {
        var lines = Enumerable.Range(0, fields.Count).Select(i => fields[i]).Where(field => field.Kind == HeaderKind.Connection);
        return HeaderRules.NamedByConnection(new StringValues([.. lines.Select(field => field.Value)]));
    }

    private static async Task CopyAsync(Http1Exchange from, PipeWriter to, long length, TimeSpan idle)
    {
        from.BodyLeft = length;
        if (from.Connection.Unread.IsEmpty)
        {
            await BodyCopy.FlushAsync(from, to, idle); // The body may take long. The head need not wait for it.
        }
        await BodyCopy.CopyAsync(from, to, idle);
    }

    /// <summary>Reads the next piece of a body that is not chunked; see <see cref="Exchange.ReadPieceAsync"/>.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<int> ReadPieceAsync(Http1Exchange from, PipeWriter to)
    {
        if (from.BodyLeft == 0)
        {
            return 0;
        }
        var connection = from.Connection;
        var count = connection.Unread.IsEmpty ? await ReceiveAsync(connection, to, from.BodyLeft) : Take(connection, to, from.BodyLeft);
        if (count == 0 && from.Head.Framing == BodyFraming.ContentLength)
        {
            throw new IOException($"connection closed {from.BodyLeft} bytes before the end");
        }
        if (count == 0 && connection.IsCutOff)
        {
            // A body that ends with the connection (RFC 9112 section 9.8).
            throw new IOException("connection closed without close_notify of TLS, so that a part of the response may be missing");
        }
        from.BodyLeft -= count;
        return count;
    }

    /// <summary>
    /// Reads what a tunnel's backend sends next. It is received into the connection's own memory, as tunnels are mostly idle.
    /// </summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<int> ReadTunnelAsync(Http1Connection connection, PipeWriter to) =>
        !connection.Unread.IsEmpty || connection.Received(await connection.ReceiveAsync()) ? Take(connection, to, long.MaxValue) : 0;

    private static async Task CopyChunkedAsync(Http1Exchange from, HttpResponse response, TimeSpan idle)
    {
        var connection = from.Connection;
        var to = from.BodyOf(response);
        var framed = from.Compressed is null && ClientFraming.BeginChunked(response);
        var decoder = new ChunkedDecoder();
        while (true)
        {
            var left = decoder.DataLeft;
            if (connection.Unread.IsEmpty && left > 0)
            {
                await BodyCopy.FlushAsync(from, to, idle);
                var count = await ReceiveAsync(connection, to, left);
                decoder.SkipData(count > 0 ? count : throw new IOException("connection closed in the middle of a chunk"));
                from.BytesRelayed += count;
            }
            else
            {
                var decoded = decoder.Decode(connection.Unread, out var data, connection.Headers);
                ClientFraming.Write(to, data);
                from.BytesRelayed += data.Length;
                connection.Consume(decoded);
                if (decoder.IsDone)
                {
                    await BodyCopy.WriteTrailersAsync(from, connection.Headers.Trailers(), response, framed);
                    return;
                }
                if (decoded == 0)
                {
                    // All that was received is decoded: send it to the client, then wait for more.
                    await BodyCopy.FlushAsync(from, to, idle);
                    if (!connection.Received(await connection.ReceiveAsync()))
                    {
                        throw new IOException("connection closed before the last chunk");
                    }
                }
            }
            if (framed && left == 0 && decoder.DataLeft > 0)
            {
                ClientFraming.WriteChunkSize(to, decoder.DataLeft);
            }
            else if (framed && left > 0 && decoder.DataLeft == 0)
            {
                ClientFraming.Write(to, "\r\n"u8);
            }
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private static async ValueTask<int> ReceiveAsync(Http1Connection connection, PipeWriter to, long most)
    {
        var memory = to.GetMemory(StepSize);
        var count = await connection.ReceiveAsync(memory.Length > most ? memory[..(int)most] : memory);
        to.Advance(count);
        return count;
    }

    private static int Take(Http1Connection connection, PipeWriter to, long most)
    {
        var piece = connection.Unread[..(int)Math.Min(connection.Unread.Length, most)];
        ClientFraming.Write(to, piece);
        connection.Consume(piece.Length);
        return piece.Length;
    }
}
