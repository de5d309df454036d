using System.Buffers;
using System.Globalization;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// The fields of a response's head, or its trailers, as they are decoded. A fault does not stop the decoding, because the table that the
/// connection's sections share must stay right.
/// </summary>
internal sealed class FieldSection(bool isTrailers)
{
    /// <summary>The largest section that is accepted, as HPACK counts it.</summary>
    public const int MaxSize = 64 * 1024;

    private static readonly SearchValues<char> NameChars = SearchValues.Create("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

    private int _size;

    /// <summary>The fields, without the pseudo-fields.</summary>
    public HeaderLines Lines { get; } = new([]);

    /// <summary>The status; 0 where there is none (yet).</summary>
    public int Status { get; private set; }

    /// <summary>The value of Content-Length; -1 where there is none.</summary>
    public long ContentLength { get; private set; } = -1;

    /// <summary>Why it is malformed (RFC 9113 section 8.1.1), or null.</summary>
    public string? Fault { get; private set; }

    /// <summary>Whether it comes after the body; then it has no status.</summary>
    public bool IsTrailers => isTrailers;

    /// <summary>Whether it has no field so far.</summary>
    public bool IsEmpty => _size == 0;

    /// <summary>
    /// Whether a field is one that HTTP/2 does not allow in any message: names are lower case (RFC 9113 section 8.2.1), and fields that
    /// concern a connection are not carried (section 8.2.2).
    /// </summary>
    public static bool IsMalformed(string name, string value) =>
        name.Length == 0 || name.AsSpan(name[0] == ':' ? 1 : 0).ContainsAnyExcept(NameChars) || !RequestRules.IsFieldValue(value)
        || name is "connection" or "proxy-connection" or "keep-alive" or "transfer-encoding" or "upgrade";

    /// <summary>Adds the next field.</summary>
    public void Add(HeaderLine line)
    {
        _size += HpackDecoder.SizeOf(line);
        if (_size > MaxSize)
        {
            Fault ??= $"its head is larger than {MaxSize} bytes";
        }
        else if (line.IsMalformed)
        {
            Fault ??= "a header field that HTTP/2 does not allow";
        }
        else if (line.Name[0] == ':')
        {
            AddPseudoField(line);
        }
        else
        {
            if (line.Kind == HeaderKind.ContentLength)
            {
                AddLength(line.Value);
            }
            Lines.Add(line);
        }
    }

    /// <summary>Completes the section.</summary>
    public void End()
    {
        if (Status == 0 && !isTrailers)
        {
            Fault ??= "it has no status";
        }
    }

    /// <summary>Why a complete head is malformed, or null.</summary>
    /// <param name="isEnd">Whether the stream ends with it.</param>
    public string? FaultOfHead(bool isEnd) => Fault
        ?? (Status >= 200 ? null
            : isEnd ? "an interim response ends the stream"
            : Status == 101 ? "it changes the protocol, which HTTP/2 cannot (RFC 9113 section 8.6)"
            : null);

    private void AddPseudoField(HeaderLine line)
    {
        if (isTrailers || line.Name != ":status" || Status != 0 || Lines.Count > 0
            || line.Value.Length != 3 || line.Value[0] == '0'
            || !int.TryParse(line.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var status))
        {
            Fault ??= "an invalid pseudo-field";
            return;
        }
        Status = status;
    }

    private void AddLength(string value)
    {
        if (ContentLength >= 0 || !long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var length))
        {
            Fault ??= ContentLength >= 0 ? "two Content-Length fields" : "an invalid Content-Length";
            return;
        }
        ContentLength = length;
    }
}
