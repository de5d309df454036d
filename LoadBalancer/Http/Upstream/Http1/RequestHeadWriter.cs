using System.Net;
using System.Security.Cryptography;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Http.Upstream.Exchanges;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>
/// Writes the head of the request that a backend gets over HTTP/1.1: method, target and fields as the client sent them, without the
/// hop-by-hop fields, with those of <see cref="ForwardingFields"/>.
/// </summary>
internal struct RequestHeadWriter : IFieldWriter, IDisposable
{
    private HeadBuffer _head = new();
    private RoutedRequest? _routed;

    private RequestHeadWriter(ForwardRequest request) => WriteHead(request);

    /// <summary>The head in bytes; valid until disposed.</summary>
    public readonly ReadOnlyMemory<byte> Written => _head.Written;

    /// <summary>Writes the whole head.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    public static RequestHeadWriter Write(ForwardRequest request) => new(request);

    /// <inheritdoc/>
    public readonly void Dispose() => _head.Dispose();

    private void WriteHead(ForwardRequest request)
    {
        var context = request.Context;
        var headers = context.Request.Headers;
        _head.Append(request.IsConnect ? HttpMethods.Get : context.Request.Method);
        _head.Append(" "u8);
        _head.Append(request.Target);
        _head.Append(" HTTP/1.1\r\n"u8);
        Field("Host"u8, request.Host);

        _routed = request.Routed;
        var named = HeaderRules.NamedByConnection(headers.Connection);
        foreach (var (name, values) in headers)
        {
            if (HeaderRules.IsForwarded(name, request.IsPeerTrusted) && named?.Contains(name) != true && _routed?.Replaces(name) != true
                && request.Trace?.Replaces(name) != true)
            {
                if (!RequestRules.IsFieldName(name))
                {
                    throw new ForwardException(ForwardError.RequestHead, "an invalid field name");
                }
                foreach (var value in values)
                {
                    _head.Append(name);
                    _head.Append(": "u8);
                    _head.Append(value);
                    _head.Append("\r\n"u8);
                }
            }
        }
        WriteFraming(request);
        WriteConnection(request, headers);
        ForwardingFields.Write(ref this, context, request.IsPeerTrusted, _routed?.Rules.Via, request.Trace?.TraceParent);
        foreach (var (name, value) in _routed?.NewFields(request.Backend.Name) ?? [])
        {
            BeginField(name, default);
            _head.Append(value);
            _head.Append("\r\n"u8);
        }
        _head.Append("\r\n"u8);
        if (!RequestRules.AreFieldLines(Written.Span))
        {
            throw new ForwardException(ForwardError.RequestHead, "a control character in a field");
        }
    }

    // The body is framed as the client framed it: by length, in chunks, or there is none.
    private void WriteFraming(ForwardRequest request)
    {
        if (request.Context.Request.ContentLength is { } length)
        {
            _head.Append("Content-Length: "u8);
            _head.AppendNumber(length);
            _head.Append("\r\n"u8);
        }
        else if (request.Body is not null)
        {
            _head.Append("Transfer-Encoding: chunked\r\n"u8);
        }
    }

    // Two hop-by-hop options are passed on: a switch to another protocol, and the acceptance of trailers.
    private void WriteConnection(ForwardRequest request, IHeaderDictionary headers)
    {
        var takesTrailers = HeaderRules.TakesTrailers(headers.TE);
        if (request.IsUpgrade)
        {
            _head.Append(takesTrailers ? "Connection: Upgrade, TE\r\n"u8 : "Connection: Upgrade\r\n"u8);
            Field("Upgrade"u8, request.UpgradeProtocol!);
            if (request.IsConnect)
            {
                // RFC 8441 section 5.1: over HTTP/2 there is no key, over HTTP/1.1 there must be one. The client does not get its answer.
                Field("Sec-WebSocket-Key"u8, Convert.ToBase64String(RandomNumberGenerator.GetBytes(16)));
            }
        }
        else if (takesTrailers)
        {
            _head.Append("Connection: TE\r\n"u8);
        }
        if (takesTrailers)
        {
            _head.Append("TE: trailers\r\n"u8);
        }
    }

    /// <inheritdoc/>
    void IFieldWriter.AddField(string name, StringValues before, string value)
    {
        if (_routed?.Drops(name) == true)
        {
            return;
        }
        BeginField(name, before);
        _head.Append(value);
        _head.Append("\r\n"u8);
    }

    /// <inheritdoc/>
    void IFieldWriter.AddField(string name, StringValues before, IPAddress value)
    {
        if (_routed?.Drops(name) == true)
        {
            return;
        }
        BeginField(name, before);
        _head.Append(value);
        _head.Append("\r\n"u8);
    }

    private void BeginField(string name, StringValues before)
    {
        _head.Append(name);
        _head.Append(": "u8);
        foreach (var line in before)
        {
            _head.Append(line);
            _head.Append(", "u8);
        }
    }

    private void Field(ReadOnlySpan<byte> name, string value)
    {
        _head.Append(name);
        _head.Append(": "u8);
        _head.Append(value);
        _head.Append("\r\n"u8);
    }
}
