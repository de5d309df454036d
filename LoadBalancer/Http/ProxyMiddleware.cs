namespace LoadBalancer.Http;

/// <summary>The end of a listener's pipeline: every request that got this far is forwarded to the listener's pool.</summary>
public sealed class ProxyMiddleware
{
    private readonly HttpForwarder _forwarder;

    /// <summary>Made by <see cref="UseMiddlewareExtensions.UseMiddleware(IApplicationBuilder, Type, object[])"/>.</summary>
    /// <param name="next">Never called: nothing comes after.</param>
    /// <param name="forwarder">The forwarder of the listener's pool.</param>
    public ProxyMiddleware(RequestDelegate next, HttpForwarder forwarder) => _forwarder = forwarder;

    /// <summary>Forwards the request.</summary>
    public Task InvokeAsync(HttpContext context) => _forwarder.ForwardAsync(context);
}
