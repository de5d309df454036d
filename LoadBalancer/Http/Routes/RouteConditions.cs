using System.Net;
using System.Text.RegularExpressions;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;

namespace LoadBalancer.Http.Routes;

/// <summary>The conditions of a route besides host and path, compiled; all must hold.</summary>
internal sealed class RouteConditions
{
    private readonly Regex? _path;
    private readonly string[] _methods;
    private readonly (string Name, ValuePattern? Value)[] _headers;
    private readonly (string Name, ValuePattern? Value)[] _query;
    private readonly (string Name, ValuePattern? Value)[] _cookies;
    private readonly IReadOnlyList<IPNetwork> _clients;

    private RouteConditions(HttpRouteOptions options)
    {
        _path = options.PathPattern is { } pattern ? PathPattern.Compile(pattern) : null;
        _methods = [.. options.Methods];
        (_headers, _query, _cookies) = (Compile(options.Headers), Compile(options.Query), Compile(options.Cookies));
        _clients = options.Clients;
    }

    /// <summary>Compiles valid options; null where there is no condition.</summary>
    public static RouteConditions? Of(HttpRouteOptions options) =>
        options.PathPattern is null && options.Methods.Count + options.Headers.Count + options.Query.Count + options.Cookies.Count
            + options.Clients.Count == 0 ? null : new RouteConditions(options);

    /// <summary>Whether all hold.</summary>
    public bool Match(in RouteInput input) =>
        (_methods.Length == 0 || _methods.Contains(input.Request.Method, StringComparer.Ordinal))
        && MatchHeaders(input.Request.Headers) && MatchCookies(input.Request.Headers) && MatchQuery(input.Request.QueryString.Value)
        && MatchPath(input.Request) && MatchClient(input);

    private bool MatchHeaders(IHeaderDictionary headers)
    {
        foreach (var (name, wanted) in _headers)
        {
            var values = headers[name];
            if (wanted is null ? values.Count > 0 : !values.Any(value => wanted.Matches(value)))
            {
                return false;
            }
        }
        return true;
    }

    private bool MatchCookies(IHeaderDictionary headers)
    {
        foreach (var (name, wanted) in _cookies)
        {
            var (isThere, matches) = (false, false);
            foreach (var line in headers.Cookie)
            {
                foreach (var range in line.AsSpan().Split(';'))
                {
                    var pair = line.AsSpan()[range].Trim();
                    if (pair.Length > name.Length && pair[name.Length] == '=' && pair.StartsWith(name, StringComparison.Ordinal))
                    {
                        isThere = true;
                        matches |= wanted?.Matches(pair[(name.Length + 1)..]) == true;
                    }
                }
            }
            if (wanted is null ? isThere : !matches)
            {
                return false;
            }
        }
        return true;
    }

    private bool MatchQuery(string? query)
    {
        foreach (var (name, wanted) in _query)
        {
            var (isThere, matches) = (false, false);
            foreach (var pair in new QueryStringEnumerable(query))
            {
                if (pair.DecodeName().Span.SequenceEqual(name))
                {
                    isThere = true;
                    matches |= wanted?.Matches(pair.DecodeValue().Span) == true;
                }
            }
            if (wanted is null ? isThere : !matches)
            {
                return false;
            }
        }
        return true;
    }

    private bool MatchPath(HttpRequest request)
    {
        if (_path is null)
        {
            return true;
        }
        var target = RequestRules.OriginForm(RequestRules.TargetOf(request.HttpContext));
        return _path.IsMatch(RequestRules.PathOf(target));
    }

    private bool MatchClient(in RouteInput input) => _clients.Count == 0 || _clients.Contain(input.Client);

    private static (string Name, ValuePattern? Value)[] Compile(IReadOnlyDictionary<string, string?> wanted) =>
        [.. wanted.Select(entry => (entry.Key, entry.Value is { } value ? new ValuePattern(value) : null))];
}
