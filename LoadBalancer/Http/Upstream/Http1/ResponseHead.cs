using System.Buffers;
using System.Globalization;
using System.Text;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>How the end of a response's body is recognised (RFC 9112 section 6.3).</summary>
internal enum BodyFraming
{
    None,
    ContentLength,
    Chunked,
    UntilClose,
}

/// <summary>The head of a response, without its fields. Parsed by <see cref="TryParse"/>, a pure function.</summary>
internal readonly struct ResponseHead
{
    /// <summary>The largest head that is accepted, in bytes.</summary>
    public const int MaxSize = 64 * 1024;

    private static readonly SearchValues<byte> TokenBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    private static readonly SearchValues<byte> ForbiddenInValue =
        SearchValues.Create([.. Enumerable.Range(0, 32).Where(b => b != '\t').Select(b => (byte)b), 127]);

    /// <summary>The status code.</summary>
    public int Status { get; private init; }

    /// <summary>The reason phrase.</summary>
    public string Reason { get; private init; }

    /// <summary>Whether <c>Connection</c> has more than close and keep-alive: names of fields that must not be forwarded.</summary>
    public bool NamesFields { get; private init; }

    /// <summary>Whether the connection may be used again after the body.</summary>
    public bool KeepAlive { get; private init; }

    /// <summary>How long the backend keeps the connection open while it is idle, if it says so (RFC 2068 section 19.7.1).</summary>
    public TimeSpan? IdleTimeout { get; private init; }

    /// <summary>How the body ends, unless by status or method there is none.</summary>
    public BodyFraming Framing { get; private init; }

    /// <summary>The length of the body, where it is framed by length.</summary>
    public long ContentLength { get; private init; }

    /// <summary>
    /// Parses the head at the start of the bytes. Lines may end in a bare LF, as RFC 9112 section 2.2 allows. Every other deviation is
    /// rejected, because another program may read it differently.
    /// </summary>
    /// <param name="bytes">The bytes received so far.</param>
    /// <param name="fields">Receives the header fields.</param>
    /// <param name="head">The head, where it is complete.</param>
    /// <returns>The length of the head in bytes, or 0 where it is not complete.</returns>
    /// <exception cref="MalformedResponseException">It is not a valid HTTP/1.x response.</exception>
    public static int TryParse(ReadOnlySpan<byte> bytes, HeaderLines fields, out ResponseHead head)
    {
        head = default;
        if (bytes.Length > 0 && !"HTTP/1."u8[..Math.Min(7, bytes.Length)].SequenceEqual(bytes[..Math.Min(7, bytes.Length)]))
        {
            throw new MalformedResponseException("it does not begin with HTTP/1.");
        }
        var rest = bytes;
        if (!TryReadLine(ref rest, out var statusLine))
        {
            return NeedMore(bytes);
        }
        var (minor, status, reason) = ParseStatusLine(statusLine);
        fields.Clear();
        var (keepAlive, close, chunked, namesFields) = (minor == 1, false, false, false);
        var contentLength = -1L;
        TimeSpan? idleTimeout = null;
        while (true)
        {
            var field = fields.TryAddKnown(rest);
            if (field is not null)
            {
                rest = rest[field.Raw.Length..];
            }
            else
            {
                var raw = rest;
                if (!TryReadLine(ref rest, out var line))
                {
                    return NeedMore(bytes);
                }
                if (line.IsEmpty)
                {
                    break;
                }
                ParseField(line, out var name, out var value);
                field = fields.Add(name, value, raw[..(raw.Length - rest.Length)]);
            }
            switch (field.Kind)
            {
                case HeaderKind.Connection:
                    foreach (var token in field.Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
                    {
                        var isClose = token.Equals("close", StringComparison.OrdinalIgnoreCase);
                        var isKeepAlive = token.Equals("keep-alive", StringComparison.OrdinalIgnoreCase);
                        close |= isClose;
                        keepAlive |= isKeepAlive;
                        namesFields |= !isClose && !isKeepAlive;
                    }
                    break;
                case HeaderKind.KeepAlive:
                    idleTimeout = ParseTimeout(field.Value) ?? idleTimeout;
                    break;
                case HeaderKind.ContentLength:
                    contentLength = contentLength < 0
                        ? ParseLength(field.Value)
                        : throw new MalformedResponseException("two Content-Length fields");
                    break;
                case HeaderKind.TransferEncoding:
                    chunked = !chunked && minor == 1 && field.Value.Equals("chunked", StringComparison.OrdinalIgnoreCase)
                        ? true
                        : throw new MalformedResponseException("a Transfer-Encoding other than chunked");
                    break;
            }
        }
        if (chunked && contentLength >= 0)
        {
            throw new MalformedResponseException("both Content-Length and Transfer-Encoding");
        }
        head = new ResponseHead
        {
            Status = status,
            Reason = reason,
            KeepAlive = keepAlive && !close,
            NamesFields = namesFields,
            IdleTimeout = idleTimeout,
            Framing = chunked ? BodyFraming.Chunked : contentLength >= 0 ? BodyFraming.ContentLength : BodyFraming.UntilClose,
            ContentLength = contentLength,
        };
        return bytes.Length - rest.Length;
    }

    private static int NeedMore(ReadOnlySpan<byte> bytes) =>
        bytes.Length <= MaxSize ? 0 : throw new MalformedResponseException($"its head is larger than {MaxSize} bytes");

    /// <summary>Removes the first line from the bytes, and returns it without its line end.</summary>
    internal static bool TryReadLine(ref ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> line)
    {
        var end = bytes.IndexOf((byte)'\n');
        if (end < 0)
        {
            line = default;
            return false;
        }
        line = bytes[..(end > 0 && bytes[end - 1] == '\r' ? end - 1 : end)];
        bytes = bytes[(end + 1)..];
        return true;
    }

    /// <summary>Parses a field line; blanks around the value are not part of it (RFC 9112 section 5).</summary>
    internal static void ParseField(ReadOnlySpan<byte> line, out ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        var colon = line.IndexOf((byte)':');
        if (colon <= 0 || line[..colon].ContainsAnyExcept(TokenBytes))
        {
            throw new MalformedResponseException("an invalid header field name"); // Includes folded lines, which begin with a blank.
        }
        name = line[..colon];
        value = line[(colon + 1)..].Trim(" \t"u8);
        if (value.ContainsAny(ForbiddenInValue))
        {
            throw new MalformedResponseException("a control character in a header field");
        }
    }

    // HTTP/1.1 200 OK; the blank before an empty reason phrase may be missing.
    private static (int Minor, int Status, string Reason) ParseStatusLine(ReadOnlySpan<byte> line)
    {
        if (line.Length < 12 || line[7] is not ((byte)'0' or (byte)'1') || line[8] != ' ' || line.Length > 12 && line[12] != ' '
            || line[9..12].ContainsAnyExceptInRange((byte)'0', (byte)'9') || line[9] == '0' || line.ContainsAny(ForbiddenInValue))
        {
            throw new MalformedResponseException("an invalid status line");
        }
        var status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
        var reason = line.Length > 13 ? line[13..] : default;
        return (line[7] - '0', status, reason.SequenceEqual("OK"u8) ? "OK" : Encoding.Latin1.GetString(reason));
    }

    // Keep-Alive: timeout=5, max=100. What is not understood does not count.
    private static TimeSpan? ParseTimeout(ReadOnlySpan<char> value)
    {
        const string Name = "timeout=";
        foreach (var range in value.Split(','))
        {
            var part = value[range].Trim();
            if (part.StartsWith(Name, StringComparison.OrdinalIgnoreCase)
                && int.TryParse(part[Name.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out var seconds))
            {
                return TimeSpan.FromSeconds(seconds);
            }
        }
        return null;
    }

    private static long ParseLength(string value) =>
        long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var length)
            ? length
            : throw new MalformedResponseException("an invalid Content-Length");
}
