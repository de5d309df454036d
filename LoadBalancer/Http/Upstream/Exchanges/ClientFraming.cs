using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>
/// Frames the body of a response for its client. Towards HTTP/1.1 clients chunks are framed here and not by Kestrel, which has no
/// trailers there; elsewhere Kestrel frames.
/// </summary>
internal static class ClientFraming
{
    /// <summary>Says in the head that chunks follow, where the framing is ours.</summary>
    /// <returns>Whether it is.</returns>
    public static bool BeginChunked(HttpResponse response)
    {
        var isOurs = HttpProtocol.IsHttp11(response.HttpContext.Request.Protocol);
        if (isOurs)
        {
            response.Headers.TransferEncoding = "chunked";
        }
        return isOurs;
    }

    /// <summary>Writes the line that begins a chunk.</summary>
    public static void WriteChunkSize(PipeWriter to, long size)
    {
        var span = to.GetSpan(18);
        size.TryFormat(span, out var length, "x", CultureInfo.InvariantCulture);
        "\r\n"u8.CopyTo(span[length..]);
        to.Advance(length + 2);
    }

    /// <summary>Writes data, as a chunk of its own where the framing is ours.</summary>
    public static void WritePiece(PipeWriter to, ReadOnlySpan<byte> data, bool isOurs)
    {
        if (isOurs)
        {
            WriteChunkSize(to, data.Length);
        }
        Write(to, data);
        if (isOurs)
        {
            Write(to, "\r\n"u8);
        }
    }

    /// <summary>Ends the body: the last chunk where the framing is ours, and the trailers where the client accepts them.</summary>
    public static void WriteTrailers(IEnumerable<(string Name, string Value)> trailers, HttpResponse response, bool isOurs)
    {
        if (isOurs)
        {
            Write(response.BodyWriter, "0\r\n"u8);
        }
        foreach (var (name, value) in trailers)
        {
            if (!HeaderRules.IsTrailer(name))
            {
                continue;
            }
            if (isOurs)
            {
                Write(response.BodyWriter, Encoding.Latin1.GetBytes($"{name}: {value}\r\n"));
            }
            else if (response.SupportsTrailers())
            {
                response.AppendTrailer(name, value);
            }
        }
        if (isOurs)
        {
            Write(response.BodyWriter, "\r\n"u8);
        }
    }

    /// <summary>
    /// Writes data unchanged. Not with the framework's Write, which asks for memory of any size: before a response has started Kestrel may
    /// then return none.
    /// </summary>
    public static void Write(PipeWriter to, ReadOnlySpan<byte> data)
    {
        data.CopyTo(to.GetSpan(data.Length));
        to.Advance(data.Length);
    }
}
