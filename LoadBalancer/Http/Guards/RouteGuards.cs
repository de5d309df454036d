using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Guards;

/// <summary>Who may come to a route, and how often. Compiled; a route's own setting replaces the listener's.</summary>
internal sealed class RouteGuards
{
    private const string None = "None";

    private readonly IReadOnlyList<IPNetwork> _allow;
    private readonly IReadOnlyList<IPNetwork> _deny;
    private readonly RateLimiter? _limiter;

    private RouteGuards(IReadOnlyList<IPNetwork> allow, IReadOnlyList<IPNetwork> deny, RateLimiter? limiter) =>
        (_allow, _deny, _limiter) = (allow, deny, limiter);

    /// <summary>Compiles valid options; null where there is no guard.</summary>
    /// <param name="listener">The listener's options.</param>
    /// <param name="route">The route's; null for requests that no route takes.</param>
    /// <param name="limiters">The limiters, by name.</param>
    public static RouteGuards? Of(
        HttpListenerOptions listener, HttpRouteOptions? route, IReadOnlyDictionary<string, RateLimiter> limiters)
    {
        var (allow, deny) = (route?.Allow ?? listener.Allow, route?.Deny ?? listener.Deny);
        var name = route?.RateLimit ?? listener.RateLimit;
        var limiter = name is null || IsNone(name) ? null : limiters[name];
        return allow.Count + deny.Count == 0 && limiter is null ? null : new RouteGuards(allow, deny, limiter);
    }

    /// <summary>Whether the text names no limit.</summary>
    public static bool IsNone(string name) => name.Equals(None, StringComparison.OrdinalIgnoreCase);

    /// <summary>Checks a request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="client">The client's address.</param>
    /// <param name="admission">What must be disposed of when the request has ended.</param>
    /// <returns>Null where it may go on.</returns>
    public Refusal? Check(HttpRequest request, IPAddress? client, out GuardAdmission admission)
    {
        admission = default;
        if (Contain(_deny, client) || _allow.Count > 0 && !Contain(_allow, client))
        {
            return new Refusal(ForwardError.AddressDenied);
        }
        if (_limiter is null)
        {
            return null;
        }
        if (_limiter.TryEnter(request, client, out var key) is { } retryAfter)
        {
            return new Refusal(ForwardError.TooManyRequests, retryAfter);
        }
        admission = new GuardAdmission(_limiter.IsHeld ? _limiter : null, key);
        return null;
    }

    private static bool Contain(IReadOnlyList<IPNetwork> networks, IPAddress? client)
    {
        for (var i = 0; client is not null && i < networks.Count; i++)
        {
            if (networks[i].Contains(client))
            {
                return true;
            }
        }
        return false;
    }
}
