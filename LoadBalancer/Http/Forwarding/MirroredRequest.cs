using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Forwarding;

/// <summary>
/// The copy of a request, with the same changes. It has nothing in common with the client's request, which may be over before it. There
/// are no trailers in it.
/// </summary>
/// <param name="Routed">What the route changes.</param>
/// <param name="Body">The client's body, which may still come; null where it has none.</param>
/// <param name="IsPeerTrusted">Whether the peer is a trusted proxy.</param>
internal sealed record MirroredRequest(RoutedRequest Routed, KeptBody? Body, bool IsPeerTrusted)
{
    /// <summary>Copies a request.</summary>
    /// <param name="original">The request.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    public static MirroredRequest Of(RoutedRequest original, bool isPeerTrusted)
    {
        var from = original.Context;
        var context = new DefaultHttpContext();
        var request = context.Features.GetRequiredFeature<IHttpRequestFeature>();
        request.Method = from.Request.Method;
        request.Scheme = from.Request.Scheme;
        request.Protocol = from.Request.Protocol;
        request.QueryString = from.Request.QueryString.Value ?? "";
        request.RawTarget = RequestRules.TargetOf(from);
        foreach (var (name, values) in from.Request.Headers)
        {
            if (!name.Equals(HeaderNames.Expect, StringComparison.OrdinalIgnoreCase))
            {
                request.Headers[name] = values;
            }
        }
        context.Connection.RemoteIpAddress = from.Connection.RemoteIpAddress;
        context.Connection.LocalPort = from.Connection.LocalPort;
        if (from.Features.Get<RequestName>() is { } given)
        {
            context.Features.Set(given);
        }
        var routed = new RoutedRequest(context, original.Rules, original.Client, original.IsHttps) { Identity = original.Identity };
        routed.TryMakeTarget(); // It was made for the original.
        return new MirroredRequest(routed, original.KeptBody, isPeerTrusted);
    }
}
