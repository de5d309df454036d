using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>On a listener for clients: answers <c>GET /health</c> and <c>GET /status</c> itself and lets everything else pass.</summary>
public sealed class StatusMiddleware(RequestDelegate next, Func<IReadOnlyList<BackendPool>> pools, IHostApplicationLifetime lifetime)
{
    /// <summary>Answers or passes on.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        var request = context.Request;
        return request.Method is not ("GET" or "HEAD") ? next(context)
            : request.Path.Value == "/health" ? Answer.HealthAsync(context, pools(), lifetime)
            : request.Path.Value == "/status" ? Answer.JsonAsync(context, StatusCodes.Status200OK, StatusJson.Status(pools()))
            : next(context);
    }
}
