using System.Collections.Frozen;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http;

/// <summary>Which header fields concern one connection only and so are never forwarded (RFC 9110 section 7.6.1).</summary>
internal static class HeaderRules
{
    private static readonly FrozenSet<string> HopByHop = new[]
    {
        HeaderNames.Connection, HeaderNames.KeepAlive, HeaderNames.TE, HeaderNames.Trailer, HeaderNames.TransferEncoding,
        HeaderNames.Upgrade, "Proxy-Connection", HeaderNames.ProxyAuthenticate, HeaderNames.ProxyAuthorization, "HTTP2-Settings",
    }.ToFrozenSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>Whether a field is always between two neighbours only.</summary>
    public static bool IsHopByHop(string name) => HopByHop.Contains(name);

    /// <summary>The further fields that <c>Connection</c> declares to be so, or null where there are none (nearly always).</summary>
    public static HashSet<string>? NamedByConnection(StringValues connection)
    {
        HashSet<string>? named = null;
        foreach (var line in connection)
        {
            if (line is null || line.Equals("keep-alive", StringComparison.OrdinalIgnoreCase) || line.Equals("close", StringComparison.OrdinalIgnoreCase))
            {
                continue;
            }
            foreach (var token in line.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            {
                (named ??= new(StringComparer.OrdinalIgnoreCase)).Add(token);
            }
        }
        return named;
    }
}
