using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Routes;

/// <summary>What the conditions of routes look at.</summary>
/// <param name="Request">The request.</param>
/// <param name="Listener">Its listener's options.</param>
/// <param name="IsPeerTrusted">Whether the peer is one of <see cref="HttpListenerOptions.TrustedProxies"/>.</param>
internal readonly record struct RouteInput(HttpRequest Request, HttpListenerOptions Listener, bool IsPeerTrusted)
{
    /// <summary>The client's address.</summary>
    public IPAddress? Client => RequestRules.Client(Listener, Request, IsPeerTrusted);
}
