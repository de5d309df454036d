using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// The cookie that leads a client back to its backend. Its value is the backend's name under a secret key (HMAC-SHA-256): it tells
/// nothing, cannot be made up, and is the same for every node with that key, so that nothing need be remembered.
/// </summary>
internal sealed class StickySessions(BackendPool pool, StickySessionOptions options, byte[] key)
{
    private const int MacSize = 16;

    private volatile Map _map = new([], [], []);

    /// <summary>The backend that the request's cookie names; null where there is no such cookie, or no such backend any more.</summary>
    public Backend? Find(HttpRequest request)
    {
        foreach (var line in request.Headers.Cookie)
        {
            foreach (var range in line.AsSpan().Split(';'))
            {
                var pair = line.AsSpan()[range].Trim();
                if (pair.StartsWith(options.Cookie, StringComparison.Ordinal) && pair.Length > options.Cookie.Length && pair[options.Cookie.Length] == '='
                    && Current().ByValue.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(pair[(options.Cookie.Length + 1)..], out var backend))
                {
                    return backend;
                }
            }
        }
        return null;
    }

    /// <summary>Adds the cookie of the backend that served the client to its answer, unless the client has it, or has one that is only full.</summary>
    /// <param name="context">The request and its answer.</param>
    /// <param name="own">The backend that the request's cookie named.</param>
    /// <param name="served">The backend that answers.</param>
    /// <param name="isPeerTrusted">Whether a proxy before us may say that the client came by https.</param>
    public void SetCookie(HttpContext context, Backend? own, Backend served, bool isPeerTrusted)
    {
        if (own == served || own is { IsOpenToItsOwn: true } || !Current().Values.TryGetValue(served, out var value))
        {
            return;
        }
        var isSecure = context.Request.IsHttps || isPeerTrusted && context.Request.Headers["X-Forwarded-Proto"] == "https";
        var cookie = $"{options.Cookie}={value}; Path=/; HttpOnly; SameSite=Lax{(isSecure ? "; Secure" : "")}";
        context.Response.Headers[HeaderNames.SetCookie] = StringValues.Concat(context.Response.Headers[HeaderNames.SetCookie], cookie);
    }

    private Map Current()
    {
        var (map, members) = (_map, pool.Snapshot.Members);
        if (map.Members == members) // the same array
        {
            return map;
        }
        var values = members.ToDictionary(backend => backend, Value);
        return _map = new Map(members, values, values.ToDictionary(entry => entry.Value, entry => entry.Key));
    }

    private string Value(Backend backend) =>
        Convert.ToBase64String(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes($"{pool.Name}/{backend.Name}")).AsSpan(0, MacSize))
            .TrimEnd('=').Replace('+', '-').Replace('/', '_');

    private sealed record Map(ImmutableArray<Backend> Members, Dictionary<Backend, string> Values, Dictionary<string, Backend> ByValue);
}
