using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Server;

/// <summary>The end of a listener's pipeline: finds the pool of a request, and has the request forwarded to it.</summary>
/// <param name="routing">The listener's routing.</param>
/// <param name="hasAccessLog">Whether requests are logged.</param>
public sealed class ProxyMiddleware(Routing routing, bool hasAccessLog)
{
    /// <summary>Forwards the request.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        var table = routing.Current;
        var (listener, forwarder) = (table.Listener, table.Find(context.Request));
        var isPeerTrusted = listener.TrustedProxies.Count > 0 && RequestRules.IsTrusted(listener, context.Connection.RemoteIpAddress);
        return forwarder.ForwardAsync(
            context,
            isPeerTrusted,
            hasAccessLog ? context.Features.Get<AccessRecord>() : null,
            forwarder.WantsClientHash ? ClientHash.Of(RequestRules.Client(listener, context.Request, isPeerTrusted)) : 0);
    }
}
