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

    /// <summary>What is wrong with the request, or null.</summary>
    public static ForwardError? Fault(HttpContext context)
    {
        if (context.Features.Get<IHttpRequestFeature>()!.RawTarget.AsSpan().ContainsAny(ForbiddenInTarget))
        {
            return ForwardError.RequestHead;
        }
        var headers = context.Request.Headers;
        foreach (var (name, _) in headers)
        {
            if (name.AsSpan().ContainsAnyExcept(TokenChars) && name[0] != ':')
            {
                return ForwardError.RequestHead;
            }
        }
        var coding = headers.TransferEncoding;
        if (coding.Count == 0)
        {
            return null;
        }
        // RFC 9112 section 6.1: we know of no other coding, so we cannot pass it on. Beside one, Kestrel renames a Content-Length.
        return coding.Count > 1 || !coding.ToString().Equals("chunked", StringComparison.OrdinalIgnoreCase) ? ForwardError.TransferCoding
            : headers.ContainsKey("X-Content-Length") ? ForwardError.RequestHead
            : null;
    }
}
