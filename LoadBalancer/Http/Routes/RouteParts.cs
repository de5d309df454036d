using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Guards;

namespace LoadBalancer.Http.Routes;

/// <summary>What the routes of a listener lead to and use.</summary>
/// <param name="Forwarders">A forwarder for each pool, by name.</param>
/// <param name="Limiters">The rate limiters, by name.</param>
/// <param name="Rejections">Counts what the listener's guards reject.</param>
internal sealed record RouteParts(
    IReadOnlyDictionary<string, HttpForwarder> Forwarders, IReadOnlyDictionary<string, RateLimiter> Limiters, GuardRejections Rejections);
