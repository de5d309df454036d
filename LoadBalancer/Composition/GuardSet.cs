using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Http.Guards.Rates;

namespace LoadBalancer.Composition;

/// <summary>The guards of a configuration, by name.</summary>
internal sealed record GuardSet(
    IReadOnlyDictionary<string, Guard<RateLimitOptions, RateLimiter>> Limiters,
    IReadOnlyDictionary<string, Guard<AuthenticationOptions, IAuthenticator>> Authenticators)
{
    /// <summary>No guard.</summary>
    public static GuardSet Empty { get; } = new(
        new Dictionary<string, Guard<RateLimitOptions, RateLimiter>>(),
        new Dictionary<string, Guard<AuthenticationOptions, IAuthenticator>>());
}
