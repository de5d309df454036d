using System.Buffers;
using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Headers;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Messages;

/// <summary>
/// Checks of requests that a proxy needs and Kestrel does not make. A message that two servers read differently lets a client smuggle
/// a request past the first of them.
/// </summary>
internal static class RequestRules
{
    private const int MaxRequestLine = 8 * 1024; // in bytes, with its line end; Kestrel has the same limit for HTTP/1.1
    private const int LineOverhead = 4; // a colon, a blank and the line end

    private static readonly SearchValues<char> ForbiddenInTarget = SearchValues.Create(
        [.. Enumerable.Range(0, 0x21).Select(c => (char)c), '#', .. Enumerable.Range(0x7f, 0x81).Select(c => (char)c)]);

    private static readonly SearchValues<char> TokenChars =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    private static readonly SearchValues<byte> ControlBytes =
        SearchValues.Create([.. Enumerable.Range(0, 0x20).Append(0x7f).Select(b => (byte)b).Except("\t\r\n"u8.ToArray())]);

    private static readonly SearchValues<char> ControlChars =
        SearchValues.Create([.. Enumerable.Range(0, 0x20).Append(0x7f).Select(c => (char)c).Except("\t")]);

    /// <summary>
    /// The protocol that the client asks to switch to, or null. HTTP/2 (h2c) is never passed on: it concerns one connection only, and
    /// RFC 9113 has withdrawn it.
    /// </summary>
    public static string? UpgradeProtocol(HttpContext context)
    {
        if (HttpMethods.IsConnect(context.Request.Method))
        {
            return context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true, Protocol: "websocket" }
                ? "websocket"
                : null;
        }
        var offered = context.Request.Headers.Upgrade;
        return offered.Count > 0 && context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
            && !offered.Any(line => line!.Contains("h2c", StringComparison.OrdinalIgnoreCase)) ? offered.ToString() : null;
    }

    /// <summary>
    /// Whether a target has printable ASCII characters only, and no <c>#</c> (RFC 3986): another server could take one for its end.
    /// </summary>
    public static bool IsTarget(string target) => !target.AsSpan().ContainsAny(ForbiddenInTarget);

    /// <summary>The part of a target that the backend gets: of the absolute form (http://host/path), what follows the authority.</summary>
    public static ReadOnlySpan<char> OriginForm(string target)
    {
        if (target.StartsWith('/') || target == "*")
        {
            return target;
        }
        var schemeEnd = target.IndexOf("://", StringComparison.Ordinal);
        var path = schemeEnd < 0 ? -1 : target.AsSpan(schemeEnd + 3).IndexOfAny('/', '?');
        if (path < 0)
        {
            return "/";
        }
        var rest = target.AsSpan(schemeEnd + 3 + path);
        return rest[0] == '/' ? rest : string.Concat("/", rest);
    }

    /// <summary>The target of a request as the client sent it.</summary>
    /// <remarks>
    /// By the indexer, as below: <c>Get</c> is a generic method of an interface, which Native AOT looks up anew at each call.
    /// </remarks>
    public static string TargetOf(HttpContext context) => ((IHttpRequestFeature)context.Features[typeof(IHttpRequestFeature)]!).RawTarget;

    /// <summary>Whether a request may have a body.</summary>
    public static bool CanHaveBody(HttpContext context) =>
        context.Features[typeof(IHttpRequestBodyDetectionFeature)] is IHttpRequestBodyDetectionFeature { CanHaveBody: true };

    /// <summary>The path of a target in the origin form: what precedes the query.</summary>
    public static ReadOnlySpan<char> PathOf(ReadOnlySpan<char> target) =>
        target.IndexOf('?') is >= 0 and var query ? target[..query] : target;

    /// <summary>
    /// Checks a target that is in the absolute form, and sets the path that routes are chosen by to what it would be in the origin form:
    /// Kestrel also decodes <c>%2F</c> there, takes any scheme, and reads <c>\</c> as <c>/</c>, which the backend does not see.
    /// </summary>
    /// <returns>False where it is neither in the origin form, nor <c>*</c>, nor an absolute form of http or https.</returns>
    public static bool TryReadTarget(HttpContext context)
    {
        var target = TargetOf(context);
        if (target.StartsWith('/') || target == "*" || HttpMethods.IsConnect(context.Request.Method))
        {
            return true;
        }
        var start = target.StartsWith("http://", StringComparison.OrdinalIgnoreCase) ? "http://".Length
            : target.StartsWith("https://", StringComparison.OrdinalIgnoreCase) ? "https://".Length
            : -1;
        if (start < 0 || target.Contains('\\', StringComparison.Ordinal))
        {
            return false;
        }
        var authority = target.AsSpan(start);
        authority = authority.IndexOfAny('/', '?') is >= 0 and var end ? authority[..end] : authority;
        if (authority.IsEmpty || authority.Contains('@'))
        {
            return false; // RFC 9110 section 4.2.4
        }
        var path = PathOf(OriginForm(target));
        context.Request.Path = DotSegments.Remove(PathString.FromUriComponent(path.ToString()).Value, isEncoded: false);
        return true;
    }

    /// <summary>Whether a peer is one of the listener's trusted proxies.</summary>
    public static bool IsTrusted(HttpListenerOptions listener, IPAddress? peer) => listener.TrustedProxies.Contain(peer);

    /// <summary>
    /// The client of a request: the peer or, where that is a trusted proxy, the last address in X-Forwarded-For that is not a trusted
    /// proxy (as with nginx's <c>real_ip_recursive</c>). The addresses before it may be invented.
    /// </summary>
    public static IPAddress? Client(HttpListenerOptions listener, HttpRequest request, bool isPeerTrusted)
    {
        var client = request.HttpContext.Connection.RemoteIpAddress;
        if (isPeerTrusted)
        {
            foreach (var hop in request.Headers["X-Forwarded-For"].ToString().Split(',', StringSplitOptions.TrimEntries).Reverse())
            {
                if (!IPEndPoint.TryParse(hop, out var address)) // Some add the port.
                {
                    break;
                }
                client = address.Address;
                if (!IsTrusted(listener, client))
                {
                    break;
                }
            }
        }
        return client?.Unmap();
    }

    /// <summary>
    /// Whether the client uses https: what a trusted proxy says of it in X-Forwarded-Proto, or else the request's scheme, which a
    /// listener sets.
    /// </summary>
    public static bool IsHttps(HttpRequest request, bool isPeerTrusted) =>
        isPeerTrusted && request.Headers["X-Forwarded-Proto"] is { Count: > 0 } proto ? proto == "https" : request.IsHttps;

    /// <summary>
    /// Why the head of a request is refused where Kestrel keeps the rules and limits of HTTP/1.1 not or in another way: it counts each
    /// crumb of a cookie (RFC 9113 section 8.2.3) as a field line, resets the stream where a target is too long, and lets a request pass
    /// that names no host or has fields of its connection (section 8.2.2).
    /// </summary>
    /// <returns>Null where it is not refused.</returns>
    public static ForwardError? FindHeadError(HttpContext context, HeaderLimitOptions limits)
    {
        var request = context.Request;
        var target = TargetOf(context);
        if (request.Method.Length + target.Length + "  HTTP/1.1\r\n".Length > MaxRequestLine)
        {
            return ForwardError.TargetTooLong;
        }
        var isHttp1 = IsHttp1(request.Protocol);
        if (!isHttp1 && (!IsTarget(target) || StringValues.IsNullOrEmpty(request.Headers.Host)))
        {
            return ForwardError.RequestHead;
        }
        return FindFieldError(request, limits, isHttp1);
    }

    /// <summary>
    /// Whether there are too many field lines, or too long ones, or, where it is not HTTP/1.1, one of the connection's. Crumbs are one line
    /// here: Kestrel has joined them.
    /// </summary>
    /// <returns>Null where there are not.</returns>
    public static ForwardError? FindFieldError(HttpRequest request, HeaderLimitOptions limits, bool isHttp1)
    {
        var (lines, bytes) = (0, 0L);
        foreach (var (name, values) in request.Headers)
        {
            if (!isHttp1 && IsOfConnection(name))
            {
                return ForwardError.RequestHead;
            }
            lines += values.Count;
            for (var i = 0; i < values.Count; i++)
            {
                var length = name.Length + (values[i]?.Length ?? 0) + LineOverhead;
                if (length > limits.LineBytes)
                {
                    return ForwardError.HeadTooLarge;
                }
                bytes += length;
            }
        }
        return lines > limits.Count || bytes > limits.TotalBytes ? ForwardError.HeadTooLarge : null;
    }

    // RFC 9113 section 8.2.2. Connection itself does not pass Kestrel.
    private static bool IsOfConnection(string name) => name.Length switch
    {
        7 => name.Equals(HeaderNames.Upgrade, StringComparison.OrdinalIgnoreCase),
        10 => name.Equals(HeaderNames.KeepAlive, StringComparison.OrdinalIgnoreCase),
        16 => name.Equals("Proxy-Connection", StringComparison.OrdinalIgnoreCase),
        17 => name.Equals(HeaderNames.TransferEncoding, StringComparison.OrdinalIgnoreCase),
        _ => false,
    };

    /// <summary>Whether a field's name is valid (RFC 9110 section 5.6.2).</summary>
    public static bool IsFieldName(string name) => name.Length > 0 && !name.AsSpan().ContainsAnyExcept(TokenChars);

    /// <summary>
    /// Whether field lines are free of control characters (RFC 9110 section 5.5); Kestrel refuses only NUL, CR and LF. Some servers
    /// take others for blanks, and so <c>chunked</c> with one of them for <c>chunked</c>.
    /// </summary>
    public static bool AreFieldLines(ReadOnlySpan<byte> lines) => !lines.ContainsAny(ControlBytes);

    /// <summary>The same for a single value.</summary>
    public static bool IsFieldValue(string value) => !value.AsSpan().ContainsAny(ControlChars);

    /// <summary>
    /// Whether a request may be sent again although it may have been carried out (RFC 9110 section 9.2.2). Methods that are idempotent by
    /// the specification, but rarely tested to be so, are left out.
    /// </summary>
    public static bool IsIdempotent(string method) => method is "GET" or "HEAD" or "OPTIONS" or "PUT" or "DELETE";

    /// <summary>Why a request must not be forwarded, or null.</summary>
    /// <param name="context">The request.</param>
    /// <param name="hasBody">Whether it has a body.</param>
    /// <param name="via">The name of this proxy in <c>Via</c>; null: no loop is looked for.</param>
    public static ForwardError? FindError(HttpContext context, bool hasBody, ViaName? via)
    {
        var request = context.Request;
        return !IsForwardable(context) ? ForwardError.Method
            : via?.IsLoop(request.Headers.Via) == true ? ForwardError.Loop
            : HttpMethods.IsConnect(request.Method) && request.ContentLength is not null ? ForwardError.RequestHead // A tunnel has no body.
            : hasBody ? FindBodyError(context)
            : null;
    }

    // CONNECT only where it opens a WebSocket (RFC 8441). TRACE would show the client what proxies have added.
    private static bool IsForwardable(HttpContext context) => !HttpMethods.IsTrace(context.Request.Method)
        && (!HttpMethods.IsConnect(context.Request.Method) || UpgradeProtocol(context) is not null);

    /// <summary>Whether a protocol is HTTP/1.1 or HTTP/1.0, where a connection carries one request after the other.</summary>
    public static bool IsHttp1(string protocol) => HttpProtocol.IsHttp11(protocol) || HttpProtocol.IsHttp10(protocol);

    // Whether the fields that frame the body are wrong.
    private static ForwardError? FindBodyError(HttpContext context)
    {
        var headers = context.Request.Headers;
        if (context.Request.ContentLength is { } length)
        {
            var max = context.Features.Get<IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize;
            return length > max ? ForwardError.RequestTooLarge : null;
        }
        // RFC 9112 section 6.1: only chunked is supported, so no other coding is passed on. Where there is a coding, Kestrel renames
        // Content-Length to X-Content-Length. HTTP/1.0 has no codings: a server of that version reads the body as the next request.
        var coding = headers.TransferEncoding;
        return coding.Count == 0 ? null
            : HttpProtocol.IsHttp10(context.Request.Protocol) ? ForwardError.RequestHead
            : coding.Count > 1 || !coding.ToString().Equals("chunked", StringComparison.OrdinalIgnoreCase) ? ForwardError.TransferCoding
            : headers.ContainsKey("X-Content-Length") ? ForwardError.RequestHead
            : null;
    }
}
