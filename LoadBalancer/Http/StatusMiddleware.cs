using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Pools;

namespace LoadBalancer.Http;

/// <summary>Answers <c>GET /health</c> and <c>GET /status</c> itself and lets everything else pass.</summary>
public sealed class StatusMiddleware(RequestDelegate next, Func<IReadOnlyList<BackendPool>> pools, IHostApplicationLifetime lifetime)
{
    /// <summary>Answers or passes on.</summary>
    public Task InvokeAsync(HttpContext context)
    {
        var request = context.Request;
        if (request.Method is not ("GET" or "HEAD"))
        {
            return next(context);
        }
        return request.Path.Value switch
        {
            "/health" => WriteAsync(context, Health()),
            "/status" => WriteAsync(context, (200, new JsonObject { ["backends"] = Backends(), ["pools"] = Pools() })),
            _ => next(context),
        };
    }

    private (int Status, JsonObject Body) Health()
    {
        var serving = !lifetime.ApplicationStopping.IsCancellationRequested && pools().All(pool => !pool.Snapshot.Eligible.IsEmpty);
        return (serving ? 200 : 503, new JsonObject { ["status"] = serving ? "ok" : "unavailable", ["backends"] = Backends() });
    }

    // Pools may share a server; it is well only where every pool finds it so.
    private JsonObject Backends()
    {
        var healthy = new JsonObject();
        foreach (var server in pools().SelectMany(pool => pool.Snapshot.Members).GroupBy(backend => backend.Address.ToString()))
        {
            healthy[server.Key] = server.All(backend => backend.Health.IsUp);
        }
        return healthy;
    }

    private JsonArray Pools() => [.. pools().Select(pool => new JsonObject
    {
        ["name"] = pool.Name,
        ["policy"] = pool.Snapshot.Policy.Name,
        ["backends"] = new JsonArray([.. pool.Snapshot.Members.Select(backend => new JsonObject
        {
            ["name"] = backend.Name,
            ["address"] = backend.Address.ToString(),
            ["weight"] = backend.Weight,
            ["adminState"] = backend.AdminState.ToString(),
            ["healthy"] = backend.Health.IsUp,
            ["reason"] = backend.Health.Reason,
            ["inFlight"] = backend.InFlight,
            ["requests"] = backend.Requests,
            ["failures"] = backend.Failures,
        })]),
    })];

    private static Task WriteAsync(HttpContext context, (int Status, JsonObject Body) answer)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(answer.Body);
        context.Response.StatusCode = answer.Status;
        context.Response.ContentType = "application/json";
        context.Response.ContentLength = json.Length;
        context.Response.Headers.CacheControl = "no-store";
        return context.Request.Method == HttpMethods.Head ? Task.CompletedTask : context.Response.Body.WriteAsync(json).AsTask();
    }
}
