using System.Buffers;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http;

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

    /// <summary>Whether a method can be forwarded by a reverse proxy at all.</summary>
    public static bool IsForwardable(string method) => !HttpMethods.IsConnect(method) && !HttpMethods.IsTrace(method);

    /// <summary>Whether a target has no byte that would end it for somebody else.</summary>
    public static bool IsTarget(string target) => !target.AsSpan().ContainsAny(ForbiddenInTarget);

    /// <summary>Whether a field's name is one (RFC 9110 section 5.6.2).</summary>
    public static bool IsFieldName(string name) => name.Length > 0 && !name.AsSpan().ContainsAnyExcept(TokenChars);

    /// <summary>
    /// Whether field lines are free of control characters (RFC 9110 section 5.5), of which Kestrel lets pass all but NUL, CR and LF.
    /// Some servers take them for blanks, and <c>chunked</c> with one for <c>chunked</c>.
    /// </summary>
    public static bool AreFieldLines(ReadOnlySpan<byte> lines) => !lines.ContainsAny(ControlBytes);

    /// <summary>What is wrong with the announcement of a request's body, or null.</summary>
    public static ForwardError? BodyFault(HttpContext context)
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
