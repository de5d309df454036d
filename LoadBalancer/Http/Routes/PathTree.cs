namespace LoadBalancer.Http.Routes;

/// <summary>Routes by their paths, segment by segment. Not changed once it is in use.</summary>
internal sealed class PathTree
{
    private readonly List<Route> _prefix = []; // routes whose Path ends here, in the order of the configuration
    private readonly List<Route> _exact = [];
    private readonly Dictionary<string, PathTree> _children = new(StringComparer.Ordinal);

    /// <summary>Adds a route; routes are added in the order of the configuration.</summary>
    /// <param name="path">Its Path; null for every path.</param>
    /// <param name="isExact">Whether that is the whole path.</param>
    /// <param name="route">The route.</param>
    public void Add(string? path, bool isExact, Route route)
    {
        path = isExact ? path : path?.TrimEnd('/');
        var node = this;
        foreach (var segment in string.IsNullOrEmpty(path) ? [] : path[1..].Split('/'))
        {
            if (!node._children.TryGetValue(segment, out var child))
            {
                node._children[segment] = child = new PathTree();
            }
            node = child;
        }
        (isExact ? node._exact : node._prefix).Add(route);
    }

    /// <summary>Finds the first route that matches, if it comes before the best so far.</summary>
    /// <param name="path">The decoded path; an empty segment is one too.</param>
    /// <param name="input">The request.</param>
    /// <param name="best">The best so far.</param>
    public void Find(ReadOnlySpan<char> path, RouteInput input, ref Route? best)
    {
        var node = this;
        First(node._prefix, input, ref best);
        while (path is ['/', ..])
        {
            var end = path[1..].IndexOf('/') is >= 0 and var slash ? slash + 1 : path.Length;
            if (node._children.Count == 0
                || !node._children.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(path[1..end], out node))
            {
                return;
            }
            path = path[end..];
            First(node._prefix, input, ref best);
        }
        if (path.IsEmpty)
        {
            First(node._exact, input, ref best);
        }
    }

    private static void First(List<Route> routes, RouteInput input, ref Route? best)
    {
        foreach (var route in routes)
        {
            if (best is not null && best.Order < route.Order)
            {
                return;
            }
            if (route.Matches(input))
            {
                best = route;
                return;
            }
        }
    }
}
