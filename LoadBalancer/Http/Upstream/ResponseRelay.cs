using System.Globalization;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Upstream;

/// <summary>Copies a backend's response to the client, byte by byte as it comes.</summary>
internal static class ResponseRelay
{
    // Large bodies move in steps of this size, straight from the backend's socket into Kestrel's buffer.
    private const int StepSize = 64 * 1024;

    /// <summary>Copies status and header fields, less those between two neighbours.</summary>
    public static void CopyHead(Http1Exchange from, HttpResponse to)
    {
        to.StatusCode = from.Head.Status;
        if (from.Head.Reason != ReasonPhrases.GetReasonPhrase(from.Head.Status))
        {
            to.HttpContext.Features.Get<IHttpResponseFeature>()!.ReasonPhrase = from.Head.Reason;
        }
        var fields = from.Connection.Headers;
        var named = from.Head.NamesFields ? NamedByConnection(fields) : null;
        for (var i = 0; i < fields.Count; i++)
        {
            var field = fields[i];
            if (field.IsReturned && named?.Contains(field.Name) != true && (field.Kind != HeaderKind.ContentLength || from.Head.Status is not (204 or 205)))
            {
                to.Headers[field.Name] = fields.MayRepeat ? StringValues.Concat(to.Headers[field.Name], field.Value) : field.Value;
            }
        }
    }

    /// <summary>Streams the body; every piece is on its way to the client before the next is read.</summary>
    /// <returns>Null where the body is whole, or the client is gone; else what the backend did wrong.</returns>
    public static ValueTask<string?> CopyBodyAsync(Http1Exchange from, HttpContext context, TimeSpan idle)
    {
        // Most bodies came in one piece with their head, and need nobody to wait.
        var length = from.Head.ContentLength;
        if (from.Head.Framing == BodyFraming.ContentLength && length <= from.Connection.Unread.Length && HasBody(from, context))
        {
            from.BytesRelayed = length > 0 ? Take(from.Connection, context.Response.BodyWriter, length) : 0;
            from.Connection.EndDeadline();
            return new((string?)null);
        }
        return StreamBodyAsync(from, context, idle);
    }

    // Methods are case-sensitive (RFC 9110 section 9.1); HttpMethods.IsHead is not.
    private static bool HasBody(Http1Exchange from, HttpContext context) => from.Head.Status is not (204 or 205 or 304) && context.Request.Method != HttpMethods.Head;

    private static async ValueTask<string?> StreamBodyAsync(Http1Exchange from, HttpContext context, TimeSpan idle)
    {
        try
        {
            switch (HasBody(from, context) ? from.Head.Framing : BodyFraming.None)
            {
                case BodyFraming.ContentLength:
                    await CopyAsync(from, context.Response.BodyWriter, from.Head.ContentLength, idle);
                    break;
                case BodyFraming.Chunked:
                    await CopyChunkedAsync(from, context.Response, idle);
                    break;
                case BodyFraming.UntilClose:
                    await CopyAsync(from, context.Response.BodyWriter, long.MaxValue, idle);
                    break;
            }
            if (context.Response.HasStarted)
            {
                // What Kestrel flushes of its own accord is a response that fits into one piece, which then goes out with its head.
                await FlushAsync(from, context.Response.BodyWriter, idle);
            }
            from.Connection.EndDeadline();
            return null;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or MalformedResponseException or OperationCanceledException)
        {
            return from.IsClientGone ? null
                : from.Connection.AbortCause == AbortCause.TimedOut ? "no byte moved for " + idle
                : e is SocketException ? FailureReason.Of(e) : e.Message;
        }
    }

    private static HashSet<string>? NamedByConnection(HeaderLines fields)
    {
        var lines = Enumerable.Range(0, fields.Count).Select(i => fields[i]).Where(field => field.Kind == HeaderKind.Connection);
        return HeaderRules.NamedByConnection(new StringValues([.. lines.Select(field => field.Value)]));
    }

    // left is long.MaxValue where the end of the connection is the end of the body.
    private static async Task CopyAsync(Http1Exchange from, PipeWriter to, long left, TimeSpan idle)
    {
        var connection = from.Connection;
        if (connection.Unread.IsEmpty)
        {
            await FlushAsync(from, to, idle); // The body may be long in coming; the head need not wait for it.
        }
        while (left > 0)
        {
            var count = connection.Unread.IsEmpty ? await ReceiveAsync(connection, to, left) : Take(connection, to, left);
            if (count == 0)
            {
                if (left > long.MaxValue / 2)
                {
                    return;
                }
                throw new IOException($"connection closed {left} bytes before the end");
            }
            left -= count;
            from.BytesRelayed += count;
            if (left > 0)
            {
                await FlushAsync(from, to, idle);
            }
        }
    }

    // Towards an HTTP/1.1 client the chunks go on as they are, because Kestrel has no trailers there: framed by us, not by Kestrel.
    private static async Task CopyChunkedAsync(Http1Exchange from, HttpResponse response, TimeSpan idle)
    {
        var connection = from.Connection;
        var to = response.BodyWriter;
        var framed = HttpProtocol.IsHttp11(response.HttpContext.Request.Protocol);
        if (framed)
        {
            response.Headers.TransferEncoding = "chunked";
        }
        var decoder = new ChunkedDecoder();
        while (true)
        {
            var left = decoder.DataLeft;
            if (connection.Unread.IsEmpty && left > 0)
            {
                await FlushAsync(from, to, idle);
                var count = await ReceiveAsync(connection, to, left);
                decoder.SkipData(count > 0 ? count : throw new IOException("connection closed in the middle of a chunk"));
                from.BytesRelayed += count;
            }
            else
            {
                var decoded = decoder.Decode(connection.Unread, out var data, connection.Headers);
                Write(to, data);
                from.BytesRelayed += data.Length;
                connection.Consume(decoded);
                if (decoder.IsDone)
                {
                    WriteTrailers(connection.Headers.Trailers(), response, framed);
                    return;
                }
                if (decoded == 0)
                {
                    // Nothing more to be had from what is here: on with it to the client, then wait for more.
                    await FlushAsync(from, to, idle);
                    if (!connection.Received(await connection.ReceiveAsync()))
                    {
                        throw new IOException("connection closed before the last chunk");
                    }
                }
            }
            if (framed && left == 0 && decoder.DataLeft > 0)
            {
                WriteChunkSize(to, decoder.DataLeft);
            }
            else if (framed && left > 0 && decoder.DataLeft == 0)
            {
                Write(to, "\r\n"u8);
            }
        }
    }

    private static void WriteChunkSize(PipeWriter to, long size)
    {
        var span = to.GetSpan(18);
        size.TryFormat(span, out var length, "x", CultureInfo.InvariantCulture);
        "\r\n"u8.CopyTo(span[length..]);
        to.Advance(length + 2);
    }

    /// <summary>Writes data, as a chunk of its own where the framing is ours.</summary>
    internal static void WritePiece(PipeWriter to, ReadOnlySpan<byte> data, bool framed)
    {
        if (framed)
        {
            WriteChunkSize(to, data.Length);
        }
        Write(to, data);
        if (framed)
        {
            Write(to, "\r\n"u8);
        }
    }

    /// <summary>Ends the body: with the last chunk where the framing is ours, and with the trailers where the client can have them.</summary>
    internal static void WriteTrailers(IEnumerable<(string Name, string Value)> trailers, HttpResponse response, bool framed)
    {
        if (framed)
        {
            Write(response.BodyWriter, "0\r\n"u8);
        }
        foreach (var (name, value) in trailers)
        {
            if (!HeaderRules.IsTrailer(name))
            {
                continue;
            }
            if (framed)
            {
                Write(response.BodyWriter, Encoding.Latin1.GetBytes($"{name}: {value}\r\n"));
            }
            else if (response.SupportsTrailers())
            {
                response.AppendTrailer(name, value);
            }
        }
        if (framed)
        {
            Write(response.BodyWriter, "\r\n"u8);
        }
    }

    private static async ValueTask<int> ReceiveAsync(BackendConnection connection, PipeWriter to, long most)
    {
        var memory = to.GetMemory(StepSize);
        var count = await connection.ReceiveAsync(memory.Length > most ? memory[..(int)most] : memory);
        to.Advance(count);
        return count;
    }

    private static int Take(BackendConnection connection, PipeWriter to, long most)
    {
        var piece = connection.Unread[..(int)Math.Min(connection.Unread.Length, most)];
        Write(to, piece);
        connection.Consume(piece.Length);
        return piece.Length;
    }

    // The framework's own Write asks for "some" memory, and Kestrel, before a response has started, may then hand out none.
    private static void Write(PipeWriter to, ReadOnlySpan<byte> data)
    {
        data.CopyTo(to.GetSpan(data.Length));
        to.Advance(data.Length);
    }

    // A client that does not read is silent too, but that is not the backend's fault.
    private static async ValueTask FlushAsync(Http1Exchange from, PipeWriter to, TimeSpan idle)
    {
        from.Connection.SetDeadline(idle);
        from.AwaitsClient = true;
        await to.FlushAsync(from.Connection.Aborted);
        from.AwaitsClient = false;
        from.Connection.SetDeadline(idle);
    }
}
