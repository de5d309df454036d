using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Http.Routes;

/// <summary>
/// A listener's routes, compiled. Immutable. Hosts are found in dictionaries and paths segment by segment, so that a thousand routes cost
/// about what ten do.
/// </summary>
public sealed class RouteTable
{
    private readonly Route _default;
    private readonly bool _isEmpty;
    private readonly PathTree _anyHost = new();
    private readonly Dictionary<string, PathTree> _hosts = new(StringComparer.OrdinalIgnoreCase);
    private readonly Dictionary<string, PathTree> _suffixes = new(StringComparer.OrdinalIgnoreCase); // of *.b.test: b.test

    /// <summary>Makes a table.</summary>
    /// <param name="listener">The listener's options, which must be valid; its pools must exist.</param>
    /// <param name="parts">What its routes use.</param>
    internal RouteTable(HttpListenerOptions listener, RouteParts parts)
    {
        Listener = listener;
        ErrorPages = parts.Files.OpenPages(listener);
        _default = Route.Default(listener, parts);
        _isEmpty = listener.Routes.Count == 0;
        var statistics = new Dictionary<string, RouteStatistics>(StringComparer.Ordinal);
        foreach (var (i, options) in listener.Routes.Index())
        {
            var route = new Route(i, options, listener, parts);
            statistics.TryAdd(route.Name!, route.Statistics!);
            foreach (var tree in options.Host.Count == 0 ? [_anyHost] : options.Host.Select(TreeOf).Distinct())
            {
                tree.Add(options.Path, options.Exact, route);
            }
        }
        if (_default.Statistics is { } others)
        {
            statistics.TryAdd("", others);
        }
        Statistics = statistics;
    }

    /// <summary>The options that it was made of.</summary>
    public HttpListenerOptions Listener { get; }

    /// <summary>The listener's error pages; null where it has none.</summary>
    internal ErrorPages? ErrorPages { get; }

    /// <summary>What counts the requests of each route, by name, and last of those that no route takes; empty without routes.</summary>
    public IReadOnlyDictionary<string, RouteStatistics> Statistics { get; }

    /// <summary>The first route that a request matches; else one to the listener's pool.</summary>
    internal Route Find(HttpRequest request, bool isPeerTrusted)
    {
        if (_isEmpty)
        {
            return _default;
        }
        // The decoded path with dot segments resolved: /x/../api is /api, here and at the backend.
        var input = new RouteInput(request, Listener, isPeerTrusted);
        var path = RawPath.WithUpperCaseSlashes(request.Path.Value ?? "");
        Route? best = null;
        _anyHost.Find(path, input, ref best);
        if (_hosts.Count + _suffixes.Count > 0)
        {
            var host = request.Host.Host.AsSpan();
            host = host.EndsWith('.') ? host[..^1] : host; // The root of names may be written out.
            Find(_hosts, host, path, input, ref best);
            while (host.IndexOf('.') is >= 0 and var dot)
            {
                host = host[(dot + 1)..];
                Find(_suffixes, host, path, input, ref best);
            }
        }
        return best ?? _default;
    }

    private static void Find(
        Dictionary<string, PathTree> trees, ReadOnlySpan<char> host, string path, RouteInput input, ref Route? best)
    {
        if (trees.Count > 0 && trees.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(host, out var tree))
        {
            tree.Find(path, input, ref best);
        }
    }

    private PathTree TreeOf(string host)
    {
        var (trees, name) = host.StartsWith("*.", StringComparison.Ordinal) ? (_suffixes, host[2..]) : (_hosts, host);
        if (!trees.TryGetValue(name, out var tree))
        {
            trees[name] = tree = new PathTree();
        }
        return tree;
    }
}
