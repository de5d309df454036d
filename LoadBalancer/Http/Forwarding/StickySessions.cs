using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// The cookie that sends a client back to its backend. Its value is an HMAC-SHA-256 of the backend's name under a secret key: it shows
/// nothing of the backend, cannot be forged, and is the same on every node with that key, so that no state is kept.
/// </summary>
internal sealed class StickySessions(BackendPool pool, StickySessionOptions options, StickySecret secret)
{
    private const int MacSize = 16;

    private volatile Map _map = new([], [], [], []);

    /// <summary>The backend that the request's cookie names; null where there is no cookie, or the backend has left the pool.</summary>
    public Backend? Find(HttpRequest request)
    {
        foreach (var line in request.Headers.Cookie)
        {
            foreach (var range in line.AsSpan().Split(';'))
            {
                var pair = line.AsSpan()[range].Trim();
                var length = options.Cookie.Length;
                if (pair.StartsWith(options.Cookie, StringComparison.Ordinal) && pair.Length > length && pair[length] == '='
                    && Current().ByValue.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(pair[(length + 1)..], out var backend))
                {
                    return backend;
                }
            }
        }
        return null;
    }

    /// <summary>
    /// Adds the cookie of the backend that answered to the response, unless the client has that cookie already, or that of a backend which
    /// only is at its limit. A stand-by's own clients leave it when others serve again.
    /// </summary>
    /// <param name="context">The request and its response.</param>
    /// <param name="sticky">The backend that the request's cookie names.</param>
    /// <param name="served">The backend that answered.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy, which may say that the client uses https.</param>
    public void SetCookie(HttpContext context, Backend? sticky, Backend served, bool isPeerTrusted)
    {
        if (sticky == served || sticky is not null && pool.IsOpenToItsOwn(sticky) || !Current().Values.TryGetValue(served, out var value))
        {
            return;
        }
        var isSecure = RequestRules.IsHttps(context.Request, isPeerTrusted);
        var cookie = $"{options.Cookie}={value}; Path=/; HttpOnly; SameSite=Lax{(isSecure ? "; Secure" : "")}";
        context.Response.Headers[HeaderNames.SetCookie] = StringValues.Concat(context.Response.Headers[HeaderNames.SetCookie], cookie);
    }

    private Map Current()
    {
        var (map, members, key) = (_map, pool.Snapshot.Members, secret.Key);
        if (map.Members == members && map.Key == key) // the same arrays
        {
            return map;
        }
        var values = members.ToDictionary(backend => backend, backend => Value(backend, key));
        return _map = new Map(members, key, values, values.ToDictionary(entry => entry.Value, entry => entry.Key));
    }

    private string Value(Backend backend, byte[] key) =>
        Convert.ToBase64String(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes($"{pool.Name}/{backend.Name}")).AsSpan(0, MacSize))
            .TrimEnd('=').Replace('+', '-').Replace('/', '_');

    private sealed record Map(
        ImmutableArray<Backend> Members, byte[] Key, Dictionary<Backend, string> Values, Dictionary<string, Backend> ByValue);
}
