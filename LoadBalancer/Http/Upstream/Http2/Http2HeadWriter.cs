using System.Globalization;
using System.Net;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Http.Upstream.Exchanges;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Writes the head of the request that a backend gets over HTTP/2, by the same rules as over HTTP/1.1, in the form of HPACK (RFC 7541). The
/// dynamic table is not used, so a head can be sent on any connection.
/// </summary>
internal struct Http2HeadWriter : IFieldWriter, IDisposable
{
    // Indexes of the static table. With this bit a single byte is the whole field (RFC 7541 section 6.1).
    private const byte Indexed = 0x80;
    private const byte Authority = 1;
    private const byte MethodGet = 2;
    private const byte MethodPost = 3;
    private const byte Path = 4;
    private const byte SchemeHttp = 6;
    private const byte SchemeHttps = 7;

    // Each field counts this much more than its text (RFC 9113 section 6.5.2).
    private const int FieldOverhead = 32;

    private HeadBuffer _head = new();
    private readonly RoutedRequest? _routed;

    private Http2HeadWriter(ForwardRequest request)
    {
        var context = request.Context;
        var headers = context.Request.Headers;
        var target = request.Target;
        _routed = request.Routed;
        WriteMethod(request.IsHttp2Upgrade ? HttpMethods.Connect : context.Request.Method);
        if (request.IsHttp2Upgrade)
        {
            Field(":protocol", request.UpgradeProtocol!.ToLowerInvariant()); // RFC 8441 section 4
        }
        _head.Append((byte)(Indexed | (request.Backend.Address.Scheme == "https" ? SchemeHttps : SchemeHttp)));
        ListSize += FieldOverhead + ":scheme".Length + request.Backend.Address.Scheme.Length + ":path".Length + ":authority".Length;
        BeginLiteral(Path);
        String(target);
        BeginLiteral(Authority); // RFC 9113 section 8.3.1: never empty
        String(request.Host);

        var named = HeaderRules.NamedByConnection(headers.Connection);
        foreach (var (name, values) in headers)
        {
            // RFC 8441 section 5: the key of a WebSocket's handshake is not used over HTTP/2.
            if (HeaderRules.IsForwarded(name, request.IsPeerTrusted) && named?.Contains(name) != true && _routed?.Replaces(name) != true
                && request.Trace?.Replaces(name) != true
                && !(request.IsHttp2Upgrade && name.Equals(HeaderNames.SecWebSocketKey, StringComparison.OrdinalIgnoreCase)))
            {
                foreach (var value in values)
                {
                    Field(name, value!);
                }
            }
        }
        if (HeaderRules.TakesTrailers(headers.TE))
        {
            Field(HeaderNames.TE, "trailers");
        }
        if (context.Request.ContentLength is { } length)
        {
            Field(HeaderNames.ContentLength, length.ToString(CultureInfo.InvariantCulture));
        }
        ForwardingFields.Write(ref this, context, request.IsPeerTrusted, _routed?.Rules.Via, request.Trace?.TraceParent);
        foreach (var (name, value) in _routed?.NewFields(request.Backend.Name) ?? [])
        {
            Field(name, value);
        }
    }

    private Http2HeadWriter(IEnumerable<(string Name, string Value)> trailers)
    {
        foreach (var (name, value) in trailers)
        {
            Field(name, value);
        }
    }

    /// <summary>The field section; valid until disposed.</summary>
    public readonly ReadOnlyMemory<byte> Written => _head.Written;

    /// <summary>Its size as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 section 6.5.2).</summary>
    public int ListSize { get; private set; }

    /// <summary>Writes the head of a request.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    public static Http2HeadWriter Write(ForwardRequest request) => new(request);

    /// <summary>Writes the fields that follow a body.</summary>
    public static Http2HeadWriter Write(IEnumerable<(string Name, string Value)> trailers) => new(trailers);

    /// <inheritdoc/>
    public readonly void Dispose() => _head.Dispose();

    /// <inheritdoc/>
    void IFieldWriter.AddField(string name, StringValues before, string value)
    {
        if (_routed?.Drops(name) != true)
        {
            ListField(name, before, value);
        }
    }

    /// <inheritdoc/>
    void IFieldWriter.AddField(string name, StringValues before, IPAddress value)
    {
        if (_routed?.Drops(name) == true)
        {
            return;
        }
        if (before.Count > 0)
        {
            ListField(name, before, value.ToString());
            return;
        }
        Span<char> text = stackalloc char[64];
        value.TryFormat(text, out var length);
        BeginField(name);
        String(text[..length]);
    }

    private void WriteMethod(string method)
    {
        ListSize += ":method".Length;
        switch (method) // case-sensitive
        {
            case "GET":
                ListSize += FieldOverhead + method.Length;
                _head.Append(Indexed | MethodGet);
                break;
            case "POST":
                ListSize += FieldOverhead + method.Length;
                _head.Append(Indexed | MethodPost);
                break;
            default:
                BeginLiteral(MethodGet);
                String(method);
                break;
        }
    }

    private void ListField(string name, StringValues before, string value) =>
        Field(name, before.Count == 0 ? value : string.Join(", ", StringValues.Concat(before, value).ToArray()));

    private void Field(string name, string value)
    {
        if (!RequestRules.IsFieldValue(value))
        {
            throw new ForwardException(ForwardError.RequestHead, "a control character in a field");
        }
        BeginField(name);
        String(value.AsSpan().Trim(" \t")); // Section 8.2.1: around a value there must be none; a client of HTTP/2 may send some.
    }

    private void BeginField(string name)
    {
        var index = HpackStaticTable.IndexOf(name);
        BeginLiteral(index);
        ListSize += name.Length;
        if (index == 0)
        {
            if (!RequestRules.IsFieldName(name[0] == ':' ? name[1..] : name))
            {
                throw new ForwardException(ForwardError.RequestHead, "an invalid field name");
            }
            Integer(name.Length, 0x7f);
            _head.AppendLower(name);
        }
    }

    // RFC 7541 section 6.2.2: a literal that is not added to the table. Its name is the one at an index, or follows.
    private void BeginLiteral(int nameIndex)
    {
        Integer(nameIndex, 0xf);
        ListSize += FieldOverhead;
    }

    private void String(ReadOnlySpan<char> text)
    {
        Integer(text.Length, 0x7f);
        _head.Append(text);
        ListSize += text.Length;
    }

    // Section 5.1.
    private void Integer(int value, int mask)
    {
        if (value < mask)
        {
            _head.Append((byte)value);
            return;
        }
        _head.Append((byte)mask);
        for (value -= mask; value >= 0x80; value >>= 7)
        {
            _head.Append((byte)(value & 0x7f | 0x80));
        }
        _head.Append((byte)value);
    }
}
