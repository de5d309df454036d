using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Routes;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Http.Transforms;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;

namespace LoadBalancer.Http.Server;

/// <summary>The end of a listener's pipeline: finds the route of a request, and lets it serve the request.</summary>
/// <param name="routing">The listener's routing.</param>
/// <param name="hasAccessLog">Whether requests are logged.</param>
/// <param name="time">The clock.</param>
/// <param name="tracing">Decides which requests are traced.</param>
public sealed class ProxyMiddleware(Routing routing, bool hasAccessLog, TimeProvider time, NodeTracing tracing)
{
    /// <summary>Serves the request.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        var table = routing.Current;
        var listener = table.Listener;
        var isPeerTrusted = listener.TrustedProxies.Count > 0 && RequestRules.IsTrusted(listener, context.Connection.RemoteIpAddress);
        var record = hasAccessLog ? context.Features.Get<AccessRecord>() : null;
        if (listener.RequestId is { } field)
        {
            var name = RequestName.Give(context, field, isPeerTrusted);
            record?.RequestId = name.Value;
        }
        var route = table.Find(context.Request, isPeerTrusted);
        record?.Route = route.Name;
        if (route.Statistics is { } statistics)
        {
            (context.Features as IHostContextContainer<RequestSlot>)?.HostContext?.CountFor(statistics, time);
        }
        if (tracing.IsOn && tracing.Begin(context) is { } trace)
        {
            trace.Describe(RequestRules.Client(listener, context.Request, isPeerTrusted), route.Name, route.Path);
            context.Features.Set(trace);
            (context.Features as IHostContextContainer<RequestSlot>)?.HostContext?.Trace = trace;
            record?.TraceId = trace.TraceId;
        }
        return route.Plain is not { } forwarder
            ? route.InvokeAsync(new RouteInput(context.Request, listener, isPeerTrusted), record)
            : forwarder.ForwardAsync(
                context,
                isPeerTrusted,
                record,
                forwarder.Hash?.Of(context.Request, listener, isPeerTrusted) ?? 0);
    }
}
