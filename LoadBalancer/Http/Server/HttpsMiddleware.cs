using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Routes;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Server;

/// <summary>Makes clients use https: redirects on a plain listener, adds Strict-Transport-Security on one with TLS.</summary>
/// <param name="next">The rest of the pipeline.</param>
/// <param name="listener">The listener's options.</param>
/// <param name="routing">Has the options as they are now: trusted proxies may change.</param>
/// <param name="httpsPort">The port to redirect to now.</param>
public sealed class HttpsMiddleware(RequestDelegate next, HttpListenerOptions listener, Routing routing, Func<int> httpsPort)
{
    /// <summary>Whether a listener needs it.</summary>
    public static bool IsNeeded(HttpListenerOptions listener) => listener.RedirectToHttps || listener.Hsts is not null;

    /// <summary>Redirects, or adds the field to the response.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        if (!listener.RedirectToHttps)
        {
            context.Response.OnStarting(AddHsts, context);
            return next(context);
        }
        // A client that uses https towards a trusted proxy would be redirected for ever.
        return RequestRules.IsTrusted(routing.Current.Listener, context.Connection.RemoteIpAddress)
            && RequestRules.IsHttps(context.Request, true)
            ? next(context)
            : RedirectAsync(context);
    }

    // The field of a backend that sends one itself is kept.
    private Task AddHsts(object context)
    {
        ((HttpContext)context).Response.Headers.TryAdd("Strict-Transport-Security", listener.Hsts);
        return Task.CompletedTask;
    }

    // 308 keeps method and body (RFC 9110 section 15.4.9).
    private Task RedirectAsync(HttpContext context)
    {
        var target = RequestRules.OriginForm(RequestRules.TargetOf(context)).ToString();
        if (context.Request.Host.Host is not { Length: > 0 } host || !RequestRules.IsTarget(target) || target == "*")
        {
            return ErrorResponse.WriteAsync(context, ForwardError.RequestHead);
        }
        var authority = httpsPort() is not 443 and var port ? $"{host}:{port}" : host;
        Redirect.Set(context, StatusCodes.Status308PermanentRedirect, $"https://{authority}{target}");
        return Task.CompletedTask;
    }
}
