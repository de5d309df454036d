using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Http.Guards.Rates;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Http.Routes;

/// <summary>What the routes of a listener lead to and use.</summary>
/// <param name="Forwarders">A forwarder for each pool, by name.</param>
/// <param name="Limiters">The rate limiters, by name.</param>
/// <param name="Authenticators">What checks clients, by name.</param>
/// <param name="Rejections">Counts what the listener's guards reject.</param>
/// <param name="Files">Opens the files that are sent as responses.</param>
/// <param name="Statistics">Makes what counts the requests of a route, by its name, or finds what has counted them until now.</param>
internal sealed record RouteParts(
    IReadOnlyDictionary<string, HttpForwarder> Forwarders, IReadOnlyDictionary<string, RateLimiter> Limiters,
    IReadOnlyDictionary<string, IAuthenticator> Authenticators, GuardRejections Rejections, RouteFiles Files,
    Func<string, RouteStatistics> Statistics)
{
    /// <summary>Counts the copies of requests that are sent to other pools.</summary>
    public MirrorCounts Mirrored { get; init; } = new();
}
