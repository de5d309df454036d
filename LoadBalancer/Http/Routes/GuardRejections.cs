using System.Collections.Concurrent;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Routes;

/// <summary>Counts the requests of a listener that its guards have rejected. It lives as long as the listener.</summary>
/// <param name="listener">The listener's name.</param>
/// <param name="errors">Gets each of them too.</param>
public sealed class GuardRejections(string listener, ErrorStatistics errors)
{
    private readonly ConcurrentDictionary<(string Route, string Reason), long> _counts = new();

    /// <summary>The listener's name.</summary>
    public string Listener => listener;

    /// <summary>The counts, by route and reason.</summary>
    public IReadOnlyList<(string Route, string Reason, long Count)> All =>
        [.. _counts.Select(entry => (entry.Key.Route, entry.Key.Reason, entry.Value))];

    /// <summary>Counts a request.</summary>
    /// <param name="context">The request.</param>
    /// <param name="route">The name of its route; empty where it has none.</param>
    /// <param name="error">Why it was rejected.</param>
    internal void Count(HttpContext context, string route, ForwardError error)
    {
        _counts.AddOrUpdate((route, ReasonOf(error)), 1, static (_, count) => count + 1);
        var (status, message, _) = error.Response();
        var where = ErrorPlace.OfListener(listener, route.Length == 0 ? null : route);
        errors.Add(status, where, context.Request.Method, RequestRules.TargetOf(context), message, ReasonOf(error));
    }

    private static string ReasonOf(ForwardError error) => error switch
    {
        ForwardError.AddressDenied => "address",
        ForwardError.TooManyRequests => "rate_limit",
        ForwardError.Unauthenticated => "unauthenticated",
        ForwardError.Forbidden => "forbidden",
        ForwardError.AuthenticationUnavailable => "authentication_unavailable",
        _ => throw new ArgumentOutOfRangeException(nameof(error), error, "no guard rejects for this reason"),
    };
}
