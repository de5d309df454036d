using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>
/// On a listener for clients: answers <c>GET /health</c> and <c>GET /status</c> itself and passes everything else on. Both list every
/// backend, which for thousands takes milliseconds; so they are worked out on the thread pool, because the event loop that read the
/// request serves other connections too.
/// </summary>
public sealed class StatusMiddleware(RequestDelegate next, Func<IReadOnlyList<BackendPool>> pools, IHostApplicationLifetime lifetime)
{
    /// <summary>Answers the request, or passes it on.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        var request = context.Request;
        return (request.Method is "GET" or "HEAD") && (request.Path.Value is "/health" or "/status")
            ? Task.Run(() => AnswerAsync(context))
            : next(context);
    }

    private Task AnswerAsync(HttpContext context) => context.Request.Path.Value == "/health"
        ? Answer.HealthAsync(context, pools(), lifetime)
        : Answer.JsonAsync(context, StatusCodes.Status200OK, StatusJson.Status(pools()));
}
