using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.WebUtilities;

namespace LoadBalancer.Http.Messages;

/// <summary>
/// Hashes what of a request decides its backend: <see cref="PoolOptions.HashKey"/>, compiled. It looks at the request as the client sent
/// it, before a route changes it. Of several values the first that is not empty counts; where there is none, the client's address does.
/// </summary>
internal sealed class RequestHash
{
    /// <summary>The key that is the client's address.</summary>
    public const string Client = "Client";

    private const string Path = "Path";

    private readonly string _part;
    private readonly string _name;

    /// <summary>Compiles a valid key; null: by client.</summary>
    public RequestHash(string? key) => (_part, _name) = Split(key ?? Client);

    /// <summary>Whether a text is a key.</summary>
    public static bool IsValid(string key) => Split(key) switch
    {
        (Client or Path, _) => key is Client or Path,
        ("Header" or "Cookie", var name) => RequestRules.IsFieldName(name), // A cookie's name is a token too (RFC 6265 section 4.1.1).
        ("Query", var name) => name.Length > 0,
        _ => false,
    };

    /// <summary>The hash of a request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="listener">The options of its listener.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    public ulong Of(HttpRequest request, HttpListenerOptions listener, bool isPeerTrusted) =>
        TryOf(request, out var hash) ? hash : ClientHash.Of(RequestRules.Client(listener, request, isPeerTrusted));

    /// <summary>The same for a request whose client is known.</summary>
    public ulong Of(HttpRequest request, IPAddress? client) => TryOf(request, out var hash) ? hash : ClientHash.Of(client);

    private bool TryOf(HttpRequest request, out ulong hash)
    {
        hash = 0;
        return _part switch
        {
            "Header" => TryOfHeader(request, out hash),
            "Cookie" => TryOfCookie(request, out hash),
            "Query" => TryOfQuery(request, out hash),
            Path => TryHash(RequestRules.PathOf(RequestRules.OriginForm(RequestRules.TargetOf(request.HttpContext))), out hash),
            _ => false,
        };
    }

    private bool TryOfHeader(HttpRequest request, out ulong hash)
    {
        hash = 0;
        foreach (var value in request.Headers[_name])
        {
            if (TryHash(value, out hash))
            {
                return true;
            }
        }
        return false;
    }

    private bool TryOfCookie(HttpRequest request, out ulong hash)
    {
        hash = 0;
        foreach (var line in request.Headers.Cookie)
        {
            foreach (var range in line.AsSpan().Split(';'))
            {
                var pair = line.AsSpan()[range].Trim();
                if (pair.Length > _name.Length && pair[_name.Length] == '=' && pair.StartsWith(_name, StringComparison.Ordinal)
                    && TryHash(pair[(_name.Length + 1)..], out hash))
                {
                    return true;
                }
            }
        }
        return false;
    }

    private bool TryOfQuery(HttpRequest request, out ulong hash)
    {
        hash = 0;
        foreach (var pair in new QueryStringEnumerable(request.QueryString.Value))
        {
            if (pair.DecodeName().Span.SequenceEqual(_name) && TryHash(pair.DecodeValue().Span, out hash))
            {
                return true;
            }
        }
        return false;
    }

    private static bool TryHash(ReadOnlySpan<char> value, out ulong hash)
    {
        hash = ClientHash.OfText(value);
        return !value.IsEmpty;
    }

    private static (string Part, string Name) Split(string key) =>
        key.IndexOf(':', StringComparison.Ordinal) is > 0 and var colon ? (key[..colon], key[(colon + 1)..]) : (key, "");
}
