using System.Buffers;
using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// Writes the head of the request that a backend gets over HTTP/1.1: method, target and fields as the client sent them, without the
/// hop-by-hop fields, with those of <see cref="ForwardingFields"/>.
/// </summary>
internal struct RequestHeadWriter : IFieldWriter, IDisposable
{
    private const int UsualSize = 2048;

    private byte[] _buffer;
    private int _length;

    /// <summary>The head in bytes; valid until disposed.</summary>
    public readonly ReadOnlyMemory<byte> Written => _buffer.AsMemory(0, _length);

    /// <summary>Writes the whole head.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    public static RequestHeadWriter Write(ForwardRequest request)
    {
        var writer = new RequestHeadWriter { _buffer = ArrayPool<byte>.Shared.Rent(UsualSize) };
        writer.WriteHead(request);
        return writer;
    }

    /// <inheritdoc/>
    public readonly void Dispose() => ArrayPool<byte>.Shared.Return(_buffer);

    private void WriteHead(ForwardRequest request)
    {
        var context = request.Context;
        var headers = context.Request.Headers;
        Append(request.IsConnect ? HttpMethods.Get : context.Request.Method);
        Append(" "u8);
        var target = context.Features.Get<IHttpRequestFeature>()!.RawTarget;
        if (!RequestRules.IsTarget(target))
        {
            throw new ForwardException(ForwardError.RequestHead, "a control character in the target");
        }
        Append(RequestRules.OriginForm(target));
        Append(" HTTP/1.1\r\n"u8);
        var host = headers.Host;
        Field("Host"u8, host.Count > 0 ? host.ToString() : request.Backend.Address.Authority);

        var named = HeaderRules.NamedByConnection(headers.Connection);
        foreach (var (name, values) in headers)
        {
            if (HeaderRules.IsForwarded(name) && named?.Contains(name) != true)
            {
                if (!RequestRules.IsFieldName(name))
                {
                    throw new ForwardException(ForwardError.RequestHead, "an invalid field name");
                }
                foreach (var value in values)
                {
                    Append(name);
                    Append(": "u8);
                    Append(value);
                    Append("\r\n"u8);
                }
            }
        }
        WriteFraming(request);
        WriteConnection(request, headers);
        ForwardingFields.Write(ref this, context, request.IsPeerTrusted);
        Append("\r\n"u8);
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
            Append("Content-Length: "u8);
            Number(length);
            Append("\r\n"u8);
        }
        else if (request.Body is not null)
        {
            Append("Transfer-Encoding: chunked\r\n"u8);
        }
    }

    // Two hop-by-hop options are passed on: a switch to another protocol, and the acceptance of trailers.
    private void WriteConnection(ForwardRequest request, IHeaderDictionary headers)
    {
        var takesTrailers = HeaderRules.TakesTrailers(headers.TE);
        if (request.IsUpgrade)
        {
            Append(takesTrailers ? "Connection: Upgrade, TE\r\n"u8 : "Connection: Upgrade\r\n"u8);
            Field("Upgrade"u8, request.UpgradeProtocol!);
            if (request.IsConnect)
            {
                // RFC 8441 section 5.1: over HTTP/2 there is no key, over HTTP/1.1 there must be one. The client does not get its answer.
                Field("Sec-WebSocket-Key"u8, Convert.ToBase64String(RandomNumberGenerator.GetBytes(16)));
            }
        }
        else if (takesTrailers)
        {
            Append("Connection: TE\r\n"u8);
        }
        if (takesTrailers)
        {
            Append("TE: trailers\r\n"u8);
        }
    }

    /// <inheritdoc/>
    void IFieldWriter.AddField(string name, StringValues before, string value)
    {
        BeginField(name, before);
        Append(value);
        Append("\r\n"u8);
    }

    /// <inheritdoc/>
    void IFieldWriter.AddField(string name, StringValues before, IPAddress value)
    {
        BeginField(name, before);
        Reserve(64);
        value.TryFormat(_buffer.AsSpan(_length), out var written);
        _length += written;
        Append("\r\n"u8);
    }

    private void BeginField(string name, StringValues before)
    {
        Append(name);
        Append(": "u8);
        foreach (var line in before)
        {
            Append(line);
            Append(", "u8);
        }
    }

    private void Field(ReadOnlySpan<byte> name, string value)
    {
        Append(name);
        Append(": "u8);
        Append(value);
        Append("\r\n"u8);
    }

    private void Append(ReadOnlySpan<byte> bytes)
    {
        Reserve(bytes.Length);
        bytes.CopyTo(_buffer.AsSpan(_length));
        _length += bytes.Length;
    }

    private void Append(ReadOnlySpan<char> text)
    {
        Reserve(text.Length);
        _length += Encoding.Latin1.GetBytes(text, _buffer.AsSpan(_length));
    }

    private void Number(long number)
    {
        Reserve(20);
        number.TryFormat(_buffer.AsSpan(_length), out var written, default, CultureInfo.InvariantCulture);
        _length += written;
    }

    private void Reserve(int count)
    {
        if (_buffer.Length - _length < count)
        {
            var larger = ArrayPool<byte>.Shared.Rent(Math.Max(_buffer.Length * 2, _length + count));
            _buffer.AsSpan(0, _length).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }
    }
}
