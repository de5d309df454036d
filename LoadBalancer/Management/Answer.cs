using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Management;

/// <summary>Writes the responses in which the load balancer says something about itself.</summary>
internal static class Answer
{
    /// <summary>Answers with JSON.</summary>
    public static Task JsonAsync(HttpContext context, int status, JsonNode json) =>
        BytesAsync(context, status, "application/json", JsonText.Bytes(json));

    /// <summary>Answers with an error: <c>{"error":"…"}</c> for who asks for JSON, otherwise one line of text.</summary>
    public static Task ErrorAsync(HttpContext context, int status, string line) => WantsJson(context.Request)
        ? JsonAsync(context, status, new JsonObject { ["error"] = line })
        : BytesAsync(context, status, "text/plain; charset=utf-8", System.Text.Encoding.UTF8.GetBytes(line + "\n"));

    /// <summary>Answers whether the node can serve: 503 where some pool has no eligible backend, or the node is about to stop.</summary>
    public static Task HealthAsync(HttpContext context, IReadOnlyList<BackendPool> pools, IHostApplicationLifetime lifetime)
    {
        var serving = !lifetime.ApplicationStopping.IsCancellationRequested && pools.All(pool => !pool.Snapshot.Eligible.IsEmpty);
        var status = serving ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        return JsonAsync(context, status, StatusJson.Health(pools, serving));
    }

    /// <summary>Answers with bytes that must not be cached.</summary>
    public static Task BytesAsync(HttpContext context, int status, string contentType, ReadOnlyMemory<byte> bytes)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        context.Response.ContentLength = bytes.Length;
        context.Response.Headers.CacheControl = "no-store";
        return context.Request.Method == HttpMethods.Head ? Task.CompletedTask : context.Response.Body.WriteAsync(bytes).AsTask();
    }

    // Only who names JSON gets it, and only if text is not liked better: */* is what programs send that never think about it.
    private static bool WantsJson(HttpRequest request) =>
        MediaTypeHeaderValue.TryParseList(request.Headers.Accept, out var wanted)
        && QualityOf(wanted, "application/json") is > 0 and var json
        && QualityOf(wanted, "text/plain") <= json;

    private static double QualityOf(IList<MediaTypeHeaderValue> wanted, string name) =>
        wanted.Where(type => type.MediaType.Equals(name, StringComparison.OrdinalIgnoreCase))
            .Select(type => type.Quality ?? 1).DefaultIfEmpty(0).Max();
}
