using System.Collections.Frozen;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Headers;

/// <summary>Which header fields are forwarded.</summary>
internal static class HeaderRules
{
    /// <summary>The name of this proxy in <c>Proxy-Status</c>.</summary>
    public const string NodeName = "loadbalancer";

    // RFC 9110 section 7.6.1, and what its predecessors listed.
    private static readonly string[] HopByHop =
    [
        HeaderNames.Connection, HeaderNames.KeepAlive, HeaderNames.TE, HeaderNames.TransferEncoding, HeaderNames.Upgrade,
        "Proxy-Connection", HeaderNames.ProxyAuthenticate, HeaderNames.ProxyAuthorization, "HTTP2-Settings",
    ];

    private static readonly FrozenSet<string> NotInResponse = HopByHop.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    // The further ones are written by the proxy itself: framing, and the fields that name the client and this proxy.
    private static readonly FrozenSet<string> NotInRequest = new HashSet<string>(HopByHop)
    {
        HeaderNames.Host, HeaderNames.ContentLength, "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
        "Forwarded", // RFC 7239; passed on from trusted proxies only
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    // What proxies say of a client. From a peer that is not trusted it is the client's own word, and is never passed on. Servers that turn
    // names into variables (CGI, WSGI, PHP) read _ as -, so x_forwarded_for is one of them too.
    private static readonly FrozenSet<string> NamesTheClient = new HashSet<string>
    {
        "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server",
        "X-Forwarded-Ssl", "X-Forwarded-Scheme", "X-Real-IP", "Forwarded",
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    // RFC 9110 section 6.5.1: a field that frames, routes or changes the meaning of a message must not come after it.
    private static readonly FrozenSet<string> NotInTrailers = new HashSet<string>(HopByHop)
    {
        HeaderNames.Host, HeaderNames.ContentLength, HeaderNames.Trailer, HeaderNames.ContentEncoding, HeaderNames.ContentType,
        HeaderNames.ContentRange, HeaderNames.Authorization, HeaderNames.SetCookie, HeaderNames.Cookie, HeaderNames.CacheControl,
        HeaderNames.Expect, HeaderNames.MaxForwards, HeaderNames.Range,
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether a field may be passed on as a trailer of a response.</summary>
    public static bool IsTrailer(string name) => !NotInTrailers.Contains(name);

    /// <summary>Whether a field may be passed on as a trailer of a request. Some servers add trailers to the fields of the head.</summary>
    public static bool IsRequestTrailer(string name) => IsTrailer(name) && !IsOfProxies(name);

    /// <summary>Whether a field of a client's request is passed on to the backend unchanged.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    public static bool IsForwarded(string name, bool isPeerTrusted) =>
        !NotInRequest.Contains(name) && (isPeerTrusted || !IsOfProxies(name));

    /// <summary>Whether a field of a backend's response is passed on to the client unchanged.</summary>
    public static bool IsReturned(string name) => !NotInResponse.Contains(name);

    /// <summary>The further fields that <c>Connection</c> names as hop-by-hop; null where there are none (nearly always).</summary>
    public static HashSet<string>? NamedByConnection(StringValues connection)
    {
        HashSet<string>? named = null;
        foreach (var line in connection)
        {
            if (string.Equals(line, "keep-alive", StringComparison.OrdinalIgnoreCase))
            {
                continue; // as browsers have it
            }
            foreach (var range in line.AsSpan().Split(','))
            {
                var token = line.AsSpan()[range].Trim();
                if (!token.IsEmpty && !token.Equals("close", StringComparison.OrdinalIgnoreCase)
                    && !token.Equals("keep-alive", StringComparison.OrdinalIgnoreCase))
                {
                    (named ??= new(StringComparer.OrdinalIgnoreCase)).Add(token.ToString());
                }
            }
        }
        return named;
    }

    /// <summary>Whether <c>TE</c> asks for trailers, the only part of it that a proxy passes on.</summary>
    public static bool TakesTrailers(StringValues te) =>
        te.Count > 0 && te.Any(line => line!.Contains("trailers", StringComparison.OrdinalIgnoreCase));

    /// <summary>
    /// Whether <c>Authorization</c> or <c>WWW-Authenticate</c> is of a scheme that authenticates the connection, and not each request
    /// (RFC 4559): NTLM, Negotiate.
    /// </summary>
    public static bool AuthenticatesConnection(StringValues field)
    {
        foreach (var line in field)
        {
            foreach (var range in line.AsSpan().Split(','))
            {
                var challenge = line.AsSpan()[range].Trim();
                var scheme = challenge.IndexOf(' ') is >= 0 and var end ? challenge[..end] : challenge;
                if (scheme.Equals("NTLM", StringComparison.OrdinalIgnoreCase)
                    || scheme.Equals("Negotiate", StringComparison.OrdinalIgnoreCase))
                {
                    return true;
                }
            }
        }
        return false;
    }

    // Most names differ in their length already.
    private static bool IsOfProxies(string name) =>
        name.Length is 9 or (>= 15 and <= 18) && NamesTheClient.Contains(name.Replace('_', '-'));
}
