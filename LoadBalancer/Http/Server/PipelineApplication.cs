using LoadBalancer.Http.Messages;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Server;

/// <summary>What Kestrel runs for each request: a pipeline, and nothing around it.</summary>
internal sealed class PipelineApplication(RequestDelegate pipeline) : IHttpApplication<RequestSlot>
{
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
    public Task ProcessRequestAsync(RequestSlot context) => pipeline(context.Context);

    /// <inheritdoc/>
    public void DisposeContext(RequestSlot context, Exception? exception) => context.End();
}

/// <summary>What Kestrel keeps for each connection or stream, so that the next request on it finds the last one's context.</summary>
internal sealed class RequestSlot(IFeatureCollection features)
{
    private readonly RequestBoundary? _boundary = features.Get<RequestBoundary>();

    /// <summary>The request's context.</summary>
    public DefaultHttpContext Context { get; } = new(features);

    /// <summary>Whether a request is under way that the pipeline has seen.</summary>
    public bool IsRunning { get; private set; } = true;

    /// <summary>A further request has come.</summary>
    public void Begin(IFeatureCollection features)
    {
        IsRunning = true;
        Context.Initialize(features);
    }

    /// <summary>The request is over.</summary>
    /// <exception cref="Microsoft.AspNetCore.Http.BadHttpRequestException">
    /// The client is gone in the middle of it: Kestrel would leave what is unread of its body where it is, and take it for the next
    /// request. This ends the connection, and is logged by nobody.
    /// </exception>
    public void End()
    {
        var leavesBody = Context.RequestAborted.IsCancellationRequested && RequestRules.IsHttp1(Context.Request.Protocol)
            && Context.Features.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: true };
        _boundary?.EndRequest(Context.Features);
        Context.Uninitialize();
        if (leavesBody)
        {
            throw new Microsoft.AspNetCore.Http.BadHttpRequestException("The client went away before its request had ended.");
        }
        IsRunning = false;
    }
}
