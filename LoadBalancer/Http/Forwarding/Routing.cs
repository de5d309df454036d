using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Http.Forwarding;

/// <summary>The routing of a listener's requests; its table is replaced when the configuration changes.</summary>
public sealed class Routing
{
    private volatile RoutingTable _current;

    /// <summary>Makes the routing of a listener.</summary>
    public Routing(RoutingTable table) => _current = table;

    /// <summary>The current table. Read it once per request.</summary>
    public RoutingTable Current
    {
        get => _current;
        set => _current = value;
    }
}

/// <summary>A listener's routes, compiled. Immutable.</summary>
public sealed class RoutingTable
{
    private readonly HttpForwarder _default;
    private readonly Route[] _routes;

    /// <summary>Makes a table.</summary>
    /// <param name="listener">The listener's options; its pools must exist.</param>
    /// <param name="forwarders">A forwarder for each pool, by name.</param>
    public RoutingTable(HttpListenerOptions listener, IReadOnlyDictionary<string, HttpForwarder> forwarders)
    {
        Listener = listener;
        _default = forwarders[listener.Pool];
        _routes = [.. listener.Routes.Select(route => new Route(route, forwarders[route.Pool]))];
    }

    /// <summary>The options that it was made of.</summary>
    public HttpListenerOptions Listener { get; }

    /// <summary>The forwarder for a request: that of the first route that matches, else that of the listener's pool.</summary>
    public HttpForwarder Find(HttpRequest request)
    {
        foreach (var route in _routes)
        {
            if (route.Matches(request))
            {
                return route.Forwarder;
            }
        }
        return _default;
    }

    private sealed class Route(HttpRouteOptions options, HttpForwarder forwarder)
    {
        private readonly PathString _path = options.Path?.TrimEnd('/');
        private readonly string? _suffix = options.Host?.StartsWith("*.", StringComparison.Ordinal) == true ? options.Host[1..] : null;

        public HttpForwarder Forwarder => forwarder;

        // The decoded path with dot segments resolved: /x/../api is /api, here and at the backend.
        public bool Matches(HttpRequest request) =>
            MatchesHost(request.Host.Host) && (!_path.HasValue || request.Path.StartsWithSegments(_path, StringComparison.Ordinal));

        private bool MatchesHost(string asked)
        {
            if (options.Host is null)
            {
                return true;
            }
            var host = asked.EndsWith('.') ? asked.AsSpan(0, asked.Length - 1) : asked; // The root of names may be written out.
            return _suffix is null
                ? host.Equals(options.Host, StringComparison.OrdinalIgnoreCase)
                : host.EndsWith(_suffix, StringComparison.OrdinalIgnoreCase) && host.Length > _suffix.Length;
        }
    }
}
