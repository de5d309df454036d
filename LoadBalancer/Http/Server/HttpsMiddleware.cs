using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Server;

/// <summary>What makes clients use https: the redirect of a plain listener, and the Strict-Transport-Security field of a TLS one.</summary>
/// <param name="next">The rest of the pipeline.</param>
/// <param name="listener">The listener's options.</param>
/// <param name="httpsPort">The port that a redirect leads to.</param>
public sealed class HttpsMiddleware(RequestDelegate next, ListenerOptions listener, int httpsPort)
{
    /// <summary>Whether a listener has any use for it.</summary>
    public static bool IsNeeded(ListenerOptions listener) => listener.RedirectToHttps || listener.Hsts is not null;

    /// <summary>Redirects, or adds the field to what comes back.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        if (!listener.RedirectToHttps)
        {
            context.Response.OnStarting(AddHsts, context);
            return next(context);
        }
        // Who is told by a trusted proxy that the client came by https would only be sent round in circles.
        return RequestRules.IsTrusted(listener, context.Connection.RemoteIpAddress) && context.Request.Headers["X-Forwarded-Proto"] == "https"
            ? next(context)
            : RedirectAsync(context);
    }

    // A backend that sends the field itself knows better.
    private Task AddHsts(object context)
    {
        ((HttpContext)context).Response.Headers.TryAdd("Strict-Transport-Security", listener.Hsts);
        return Task.CompletedTask;
    }

    // 308 keeps method and body (RFC 9110 section 15.4.9).
    private Task RedirectAsync(HttpContext context)
    {
        var target = RequestRules.OriginForm(context.Features.Get<IHttpRequestFeature>()!.RawTarget).ToString();
        if (context.Request.Host.Host is not { Length: > 0 } host || !RequestRules.IsTarget(target) || target == "*")
        {
            return ErrorAnswer.WriteAsync(context, ForwardError.RequestHead);
        }
        var authority = httpsPort == 443 ? host : $"{host}:{httpsPort}";
        context.Response.StatusCode = StatusCodes.Status308PermanentRedirect;
        context.Response.Headers.Location = $"https://{authority}{target}";
        context.Response.ContentLength = 0;
        return Task.CompletedTask;
    }
}
