using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Transforms;

/// <summary>
/// What a route makes of a path, compiled: StripPrefix, Rewrite, AddPrefix, in this order, each on the path as it was sent. A path with dot
/// segments could lead the backend to a place that the route does not mean. So the result must name the same place as the result for the
/// path without them; else there is none.
/// </summary>
internal sealed class TargetChange
{
    private readonly string[] _prefix;
    private readonly PathRewrite? _rewrite;
    private readonly string _added;

    private TargetChange(HttpRouteOptions options)
    {
        _prefix = options.StripPrefix && options.Path!.TrimEnd('/') is { Length: > 0 } path ? path[1..].Split('/') : [];
        _rewrite = options.Rewrite is { } rewrite ? new PathRewrite(rewrite) : null;
        _added = Rooted(options.AddPrefix ?? "").TrimEnd('/');
    }

    /// <summary>Compiles valid options; null where they change nothing.</summary>
    public static TargetChange? Of(HttpRouteOptions options) =>
        options.StripPrefix || options.Rewrite is not null || options.AddPrefix is not null ? new TargetChange(options) : null;

    /// <summary>The target that the backend gets; null where the path is not clear.</summary>
    public string? Apply(RoutedRequest request)
    {
        var sent = request.Path;
        if (Change(sent, request) is not { } path)
        {
            return null;
        }
        var hasDots = DotSegments.AreIn(sent);
        var plain = hasDots ? Change(DotSegments.Remove(sent, isEncoded: true), request) : path;
        // Parts that are none by themselves can make a dot segment together.
        if (plain is null || DotSegments.AreIn(RequestRules.PathOf(plain))
            || hasDots && !RequestRules.PathOf(plain).SequenceEqual(DotSegments.Remove(RequestRules.PathOf(path), isEncoded: true)))
        {
            return null;
        }
        var query = request.Query;
        return query.IsEmpty ? path : path.Contains('?', StringComparison.Ordinal) ? $"{path}&{query[1..]}" : $"{path}{query}";
    }

    private string? Change(ReadOnlySpan<char> sent, RoutedRequest request)
    {
        var path = _prefix.Length == 0 ? sent.ToString() : RawPath.WithoutPrefix(sent, _prefix);
        path = path is null || _rewrite is null ? path : _rewrite.Apply(path, request);
        return path is null ? null : _added + Rooted(path);
    }

    private static string Rooted(string path) => path.StartsWith('/') ? path : "/" + path;
}
