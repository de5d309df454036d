using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using RouteOptions = LoadBalancer.Configuration.RouteOptions;

namespace LoadBalancer.Http;

/// <summary>
/// The end of a listener's pipeline: finds the pool that a request is for, and has it forwarded there.
/// </summary>
public sealed class ProxyMiddleware
{
    private readonly ListenerOptions _listener;
    private readonly HttpForwarder _default;
    private readonly Route[] _routes;
    private readonly bool _hasAccessLog;

    /// <summary>Made by <see cref="UseMiddlewareExtensions.UseMiddleware(IApplicationBuilder, Type, object[])"/>.</summary>
    /// <param name="next">Never called: nothing comes after.</param>
    /// <param name="listener">The listener's options; its pools must exist.</param>
    /// <param name="forwarders">A forwarder for each pool, by name.</param>
    public ProxyMiddleware(RequestDelegate next, ListenerOptions listener, IReadOnlyDictionary<string, HttpForwarder> forwarders)
    {
        _listener = listener;
        _hasAccessLog = !listener.AccessLog.Equals("Off", StringComparison.OrdinalIgnoreCase);
        _default = forwarders[listener.Pool!];
        _routes = [.. listener.Routes.Select(route => new Route(route, forwarders[route.Pool!]))];
    }

    /// <summary>Forwards the request.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        var forwarder = _default;
        foreach (var route in _routes)
        {
            if (route.Matches(context.Request))
            {
                forwarder = route.Forwarder;
                break;
            }
        }
        var isPeerTrusted = _listener.TrustedProxies.Count > 0 && RequestRules.IsTrusted(_listener, context.Connection.RemoteIpAddress);
        return forwarder.ForwardAsync(
            context,
            isPeerTrusted,
            _hasAccessLog ? context.Features.Get<AccessRecord>() : null,
            forwarder.WantsClientHash ? ClientHash.Of(RequestRules.Client(_listener, context.Request, isPeerTrusted)) : 0);
    }

    private sealed class Route(RouteOptions options, HttpForwarder forwarder)
    {
        private readonly PathString _path = options.Path?.TrimEnd('/');
        private readonly string? _suffix = options.Host?.StartsWith("*.", StringComparison.Ordinal) == true ? options.Host[1..] : null;

        public HttpForwarder Forwarder => forwarder;

        // The path as the server understands it, with dots resolved: /x/../api is /api, whoever looks at it.
        public bool Matches(HttpRequest request) =>
            MatchesHost(request.Host.Host) && (!_path.HasValue || request.Path.StartsWithSegments(_path, StringComparison.Ordinal));

        private bool MatchesHost(string host) =>
            options.Host is null
            || (_suffix is null ? host.Equals(options.Host, StringComparison.OrdinalIgnoreCase) : host.EndsWith(_suffix, StringComparison.OrdinalIgnoreCase) && host.Length > _suffix.Length);
    }
}
