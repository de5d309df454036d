using System.Security.Authentication;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Server;

/// <summary>
/// What Kestrel runs for each request: a pipeline and, where there is an access log, a record of the request around it. The record is
/// written when Kestrel has ended the response: only then is its status final. Where the pipeline fails before a response has started,
/// or leaves one that cannot be sent, Kestrel answers with another status than the pipeline has set.
/// </summary>
/// <param name="pipeline">Answers the requests.</param>
/// <param name="log">The listener's access log, if it has one.</param>
/// <param name="layout">What is in its lines now.</param>
/// <param name="time">The clock.</param>
/// <param name="check">Checks the heads of requests before.</param>
internal sealed class PipelineApplication(
    RequestDelegate pipeline, AccessLog? log, Func<AccessLogLayout> layout, TimeProvider time, HeadCheck check)
    : IHttpApplication<RequestSlot>
{
    private volatile ErrorPages? _errorPages;
    private volatile Func<HttpContext, Task?>? _before;
    private volatile bool _isLeaving;

    /// <summary>
    /// Whether each connection gets its last answer now: <c>Connection: close</c> (RFC 9112 section 9.6), or GOAWAY (RFC 9113 section 6.8).
    /// </summary>
    public bool IsLeaving
    {
        get => _isLeaving;
        set => _isLeaving = value;
    }

    /// <summary>Answers some requests before the pipeline would, and returns null for the others; null where nothing does.</summary>
    public Func<HttpContext, Task?>? Before
    {
        get => _before;
        set => _before = value;
    }

    /// <summary>The listener's error pages; null where it has none.</summary>
    public ErrorPages? ErrorPages
    {
        get => _errorPages;
        set => _errorPages = value;
    }

    /// <inheritdoc/>
    public RequestSlot CreateContext(IFeatureCollection contextFeatures)
    {
        if (contextFeatures is not IHostContextContainer<RequestSlot> { HostContext: var slot } container)
        {
            return new RequestSlot(contextFeatures);
        }
        if (slot is null)
        {
            return container.HostContext = new RequestSlot(contextFeatures);
        }
        slot.Begin(contextFeatures);
        return slot;
    }

    /// <inheritdoc/>
    public Task ProcessRequestAsync(RequestSlot context)
    {
        if (log is not null)
        {
            context.Context.Features.Set(context.Record = BeginRecord(context.Context)); // The forwarder adds pool, backend and bytes.
        }
        if (_isLeaving)
        {
            context.Context.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
        }
        if (_errorPages is { } pages)
        {
            context.Context.Features.Set(pages);
        }
        return check.RefuseAsync(context.Context, context.Boundary) ?? _before?.Invoke(context.Context) ?? pipeline(context.Context);
    }

    /// <inheritdoc/>
    public void DisposeContext(RequestSlot context, Exception? exception)
    {
        if (context.Record is { IsDropped: false } record)
        {
            record.Duration = time.GetElapsedTime(record.Start);
            var response = context.Context.Response;
            record.Status = record.Status == 0 ? response.StatusCode : record.Status;
            if (record.Backend is null && record.Bytes == 0 && context.Context.Request.Method != HttpMethods.Head)
            {
                record.Bytes = response.ContentLength ?? 0; // It is a response of our own.
            }
            log!.Write(record);
        }
        context.CountAnswer(time);
        context.Trace?.End(context.Context);
        context.End();
    }

    private AccessRecord BeginRecord(HttpContext context)
    {
        var lines = layout();
        var headers = lines.NeedsHead ? context.Request.Headers : null;
        return new()
        {
            Layout = lines,
            Time = time.GetUtcNow(),
            Start = time.GetTimestamp(),
            Client = check.ClientOf(context.Request),
            Method = context.Request.Method,
            Target = RequestRules.TargetOf(context),
            Protocol = context.Request.Protocol,
            Host = headers?.Host,
            TlsVersion = headers is null ? null : NameOf(context.Features.Get<ITlsHandshakeFeature>()?.Protocol),
            UserAgent = headers?.UserAgent,
            Referer = headers?.Referer,
            TraceId = headers?.TraceParent.ToString() is { Length: 55 } parent ? parent[3..35] : null,
        };
    }

    private static string? NameOf(SslProtocols? protocol) => protocol switch
    {
        SslProtocols.Tls13 => "1.3",
        SslProtocols.Tls12 => "1.2",
        _ => null,
    };
}

/// <summary>Kept by Kestrel for each connection or stream, so that its next request reuses the context.</summary>
internal sealed class RequestSlot(IFeatureCollection features)
{
    private RouteStatistics? _route;
    private long _start;

    /// <summary>The request's context.</summary>
    public DefaultHttpContext Context { get; } = new(features);

    /// <summary>The boundary between requests of its connection, where the transport has one.</summary>
    public RequestBoundary? Boundary { get; } = features.Get<RequestBoundary>();

    /// <summary>Whether a request is running that the pipeline has seen.</summary>
    public bool IsRunning { get; private set; } = true;

    /// <summary>
    /// Whether the features are those of a request that the pipeline has seen: one that is running, or is over, while Kestrel reads the
    /// rest of its body.
    /// </summary>
    public static bool IsKnown(IFeatureCollection features) =>
        features is IHostContextContainer<RequestSlot> { HostContext.IsRunning: true } || features.Get<RequestSlot>() is not null;

    /// <summary>The request's line in the access log, where there is one.</summary>
    public AccessRecord? Record { get; set; }

    /// <summary>The request's trace; null where it is not traced.</summary>
    public RequestTrace? Trace { get; set; }

    /// <summary>Lets the request be counted for its route.</summary>
    public void CountFor(RouteStatistics route, TimeProvider time) => (_route, _start) = (route, time.GetTimestamp());

    /// <summary>Counts it, where it was found to have a route, once its answer has ended.</summary>
    public void CountAnswer(TimeProvider time)
    {
        if (_route is { } route)
        {
            _route = null;
            // No answer was begun where the client has left before.
            var status = Context.Response.HasStarted ? Context.Response.StatusCode : StatusCodes.Status499ClientClosedRequest;
            route.Count(status, time.GetElapsedTime(_start));
        }
    }

    /// <summary>The next request begins.</summary>
    public void Begin(IFeatureCollection features)
    {
        IsRunning = true;
        Context.Initialize(features);
    }

    /// <summary>The request is over.</summary>
    /// <exception cref="Microsoft.AspNetCore.Http.BadHttpRequestException">
    /// The client went away in the middle of it. Kestrel would leave the unread part of the body in the connection, and take it for the
    /// next request. The exception ends the connection, and is not logged.
    /// </exception>
    public void End()
    {
        var hasBody = RequestRules.CanHaveBody(Context);
        var leavesBody = hasBody && Context.RequestAborted.IsCancellationRequested && RequestRules.IsHttp1(Context.Request.Protocol);
        if (hasBody)
        {
            Context.Features.Set(this); // Kestrel removes it as the next request begins.
        }
        Record = null;
        Trace = null;
        Boundary?.EndRequest(hasBody);
        Context.Uninitialize();
        if (leavesBody)
        {
            throw new Microsoft.AspNetCore.Http.BadHttpRequestException("The client went away before its request had ended.");
        }
        IsRunning = false;
    }
}
