using System.Buffers;
using System.Net;
using LoadBalancer.Configuration.Options;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Messages;

/// <summary>
/// What Kestrel lets through and a proxy must not: what one server reads in one way and the next in another is how requests are
/// smuggled.
/// </summary>
internal static class RequestRules
{
    private static readonly SearchValues<char> ForbiddenInTarget = SearchValues.Create([.. Enumerable.Range(0, 0x21).Select(c => (char)c), '\x7f']);

    private static readonly SearchValues<char> TokenChars =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

    private static readonly SearchValues<byte> ControlBytes =
        SearchValues.Create([.. Enumerable.Range(0, 0x20).Append(0x7f).Select(b => (byte)b).Except("\t\r\n"u8.ToArray())]);

    private static readonly SearchValues<char> ControlChars = SearchValues.Create([.. Enumerable.Range(0, 0x20).Append(0x7f).Select(c => (char)c).Except("\t")]);

    /// <summary>
    /// The protocol that the client wants to go on with, or null. HTTP/2 is never among them: an offer of h2c is between the client and
    /// us (RFC 9113 has withdrawn it, too).
    /// </summary>
    public static string? UpgradeProtocol(HttpContext context)
    {
        if (HttpMethods.IsConnect(context.Request.Method))
        {
            return context.Features.Get<IHttpExtendedConnectFeature>() is { IsExtendedConnect: true, Protocol: "websocket" } ? "websocket" : null;
        }
        var offered = context.Request.Headers.Upgrade;
        return offered.Count > 0 && context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
            && !offered.Any(line => line!.Contains("h2c", StringComparison.OrdinalIgnoreCase)) ? offered.ToString() : null;
    }

    /// <summary>Whether a target has no byte that would end it for somebody else.</summary>
    public static bool IsTarget(string target) => !target.AsSpan().ContainsAny(ForbiddenInTarget);

    /// <summary>What of a target concerns the backend: of the absolute form (http://host/path) only what follows the authority, which is in Host.</summary>
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

    /// <summary>An address as people write it: a listener on all addresses sees IPv4 clients as IPv6 ones.</summary>
    public static IPAddress? Plain(IPAddress? address) => address is { IsIPv4MappedToIPv6: true } ? address.MapToIPv4() : address;

    /// <summary>Whether a peer's word on who the client is counts.</summary>
    public static bool IsTrusted(ListenerOptions listener, IPAddress? peer)
    {
        peer = Plain(peer);
        return peer is not null && listener.TrustedProxies.Any(network => network.Contains(peer));
    }

    /// <summary>
    /// Who sent a request: the peer, or who trusted proxies say it was, which is the last address in X-Forwarded-For that is none of
    /// theirs (as nginx's <c>real_ip_recursive</c> has it): what stands before it anybody may have written.
    /// </summary>
    public static IPAddress? Client(ListenerOptions listener, HttpRequest request, bool isPeerTrusted)
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
        return Plain(client);
    }

    /// <summary>Whether a field's name is one (RFC 9110 section 5.6.2).</summary>
    public static bool IsFieldName(string name) => name.Length > 0 && !name.AsSpan().ContainsAnyExcept(TokenChars);

    /// <summary>
    /// Whether field lines are free of control characters (RFC 9110 section 5.5), of which Kestrel lets pass all but NUL, CR and LF.
    /// Some servers take them for blanks, and <c>chunked</c> with one for <c>chunked</c>.
    /// </summary>
    public static bool AreFieldLines(ReadOnlySpan<byte> lines) => !lines.ContainsAny(ControlBytes);

    /// <summary>The same of a single value.</summary>
    public static bool IsFieldValue(string value) => !value.AsSpan().ContainsAny(ControlChars);

    /// <summary>Whether a request may be sent again after it may have been carried out (RFC 9110 section 9.2.2), less what is rarely tested to be so.</summary>
    public static bool IsIdempotent(string method) => method is "GET" or "HEAD" or "OPTIONS" or "PUT" or "DELETE";

    /// <summary>Why a request must not be forwarded, or null.</summary>
    public static ForwardError? Fault(HttpContext context, bool hasBody) =>
        !IsForwardable(context) ? ForwardError.Method
        : HeaderRules.IsLoop(context.Request.Headers.Via) ? ForwardError.Loop
        : context.Request.Headers.TransferEncoding.Count > 0 && !IsHttp1(context.Request.Protocol) ? ForwardError.RequestHead // RFC 9113 section 8.2.2
        : HttpMethods.IsConnect(context.Request.Method) && context.Request.ContentLength is not null ? ForwardError.RequestHead // A tunnel has no body to announce.
        : hasBody ? BodyFault(context)
        : null;

    // CONNECT only where it opens a WebSocket (RFC 8441); TRACE would hand out what proxies added.
    private static bool IsForwardable(HttpContext context) =>
        !HttpMethods.IsTrace(context.Request.Method) && (!HttpMethods.IsConnect(context.Request.Method) || UpgradeProtocol(context) is not null);

    /// <summary>Whether a protocol is HTTP/1.1 or HTTP/1.0, where one request of a connection follows the other.</summary>
    public static bool IsHttp1(string protocol) => HttpProtocol.IsHttp11(protocol) || HttpProtocol.IsHttp10(protocol);

    // What is wrong with the announcement of the body.
    private static ForwardError? BodyFault(HttpContext context)
    {
        var headers = context.Request.Headers;
        if (context.Request.ContentLength is { } length)
        {
            return length > context.Features.Get<IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize ? ForwardError.RequestTooLarge : null;
        }
        // RFC 9112 section 6.1: we know of no other coding, so we cannot pass it on. Beside one, Kestrel renames a Content-Length.
        // And HTTP/1.0 knows of none at all: a server of that age reads the body as the next request.
        var coding = headers.TransferEncoding;
        return coding.Count == 0 ? null
            : HttpProtocol.IsHttp10(context.Request.Protocol) ? ForwardError.RequestHead
            : coding.Count > 1 || !coding.ToString().Equals("chunked", StringComparison.OrdinalIgnoreCase) ? ForwardError.TransferCoding
            : headers.ContainsKey("X-Content-Length") ? ForwardError.RequestHead
            : null;
    }
}
