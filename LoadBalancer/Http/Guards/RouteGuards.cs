using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Http.Guards.Rates;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;

namespace LoadBalancer.Http.Guards;

/// <summary>Who may come to a route, and how often. Compiled; a route's own setting replaces the listener's.</summary>
internal sealed class RouteGuards
{
    private const string None = "None";

    private readonly IReadOnlyList<IPNetwork> _allow;
    private readonly IReadOnlyList<IPNetwork> _deny;
    private readonly RateLimiter? _limiter;

    private RouteGuards(
        IReadOnlyList<IPNetwork> allow, IReadOnlyList<IPNetwork> deny, RateLimiter? limiter, IAuthenticator? authenticator) =>
        (_allow, _deny, _limiter, Authenticator) = (allow, deny, limiter, authenticator);

    /// <summary>Checks who the client is; null where it may be anybody.</summary>
    public IAuthenticator? Authenticator { get; }

    /// <summary>Compiles valid options; null where there is no guard.</summary>
    /// <param name="listener">The listener's options.</param>
    /// <param name="route">The route's; null for requests that no route takes.</param>
    /// <param name="limiters">The limiters, by name.</param>
    /// <param name="authenticators">What checks clients, by name.</param>
    public static RouteGuards? Of(
        HttpListenerOptions listener, HttpRouteOptions? route, IReadOnlyDictionary<string, RateLimiter> limiters,
        IReadOnlyDictionary<string, IAuthenticator> authenticators)
    {
        var (allow, deny) = (route?.Allow ?? listener.Allow, route?.Deny ?? listener.Deny);
        var limiter = Find(limiters, route?.RateLimit ?? listener.RateLimit);
        var authenticator = Find(authenticators, route?.Authentication ?? listener.Authentication)
            ?? (listener.ClientCertificates is null ? null : CertificateAuthenticator.Instance);
        return allow.Count + deny.Count == 0 && limiter is null && authenticator is null
            ? null : new RouteGuards(allow, deny, limiter, authenticator);
    }

    /// <summary>Whether the text names no guard.</summary>
    public static bool IsNone(string name) => name.Equals(None, StringComparison.OrdinalIgnoreCase);

    /// <summary>Checks a request before it is known who the client is.</summary>
    /// <param name="request">The request.</param>
    /// <param name="client">The client's address.</param>
    /// <param name="admission">What must be disposed of when the request has ended.</param>
    /// <returns>Null where it may go on.</returns>
    public Refusal? Check(HttpRequest request, IPAddress? client, out GuardAdmission admission)
    {
        admission = default;
        return _deny.Contain(client) || _allow.Count > 0 && !_allow.Contain(client) ? new Refusal(ForwardError.AddressDenied)
            : _limiter is { IsByUser: false } ? Enter(request, client, null, out admission)
            : null;
    }

    /// <summary>The same, once that is known.</summary>
    public Refusal? CheckUser(HttpRequest request, string user, out GuardAdmission admission)
    {
        admission = default;
        return _limiter is { IsByUser: true } ? Enter(request, null, user, out admission) : null;
    }

    private Refusal? Enter(HttpRequest request, IPAddress? client, string? user, out GuardAdmission admission)
    {
        var retryAfter = _limiter!.TryEnter(request, client, user, out var key);
        admission = retryAfter is null && _limiter.IsHeld ? new GuardAdmission(_limiter, key) : default;
        return retryAfter is { } wait ? new Refusal(ForwardError.TooManyRequests, wait) : null;
    }

    private static T? Find<T>(IReadOnlyDictionary<string, T> all, string? name)
        where T : class => name is null || IsNone(name) ? null : all[name];
}
