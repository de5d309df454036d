using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Management;

/// <summary>Writes the responses in which the load balancer says something about itself.</summary>
internal static class Answer
{
    private const string Json = "application/json";
    private const string Problem = "application/problem+json";

    /// <summary>Answers with JSON.</summary>
    public static Task JsonAsync(HttpContext context, int status, JsonNode json) =>
        BytesAsync(context, status, Json, JsonText.Bytes(json));

    /// <summary>Answers with an error: a problem (RFC 9457) where the client asks for JSON, otherwise one line of text.</summary>
    public static Task ErrorAsync(HttpContext context, int status, string line) => WantsJson(context.Request)
        ? BytesAsync(context, status, Problem, JsonText.Bytes(ProblemOf(context.Request, status, line)))
        : BytesAsync(context, status, "text/plain; charset=utf-8", System.Text.Encoding.UTF8.GetBytes(line + "\n"));

    /// <summary>Answers that a path has other methods.</summary>
    /// <param name="context">The request.</param>
    /// <param name="allowed">Those that it has, for <c>Allow</c>.</param>
    public static Task OtherMethodAsync(HttpContext context, string allowed)
    {
        context.Response.Headers.Allow = allowed;
        var line = $"{context.Request.Method} is not for {context.Request.Path}; expected {allowed}";
        return ErrorAsync(context, StatusCodes.Status405MethodNotAllowed, line);
    }

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

    // No type of our own: the status says what kind it is. "error" is what there was before RFC 9457.
    private static JsonObject ProblemOf(HttpRequest request, int status, string line) => new()
    {
        ["type"] = "about:blank",
        ["title"] = ReasonPhrases.GetReasonPhrase(status),
        ["status"] = status,
        ["detail"] = line,
        ["instance"] = request.Path.ToUriComponent(),
        ["error"] = line,
    };

    // Only who names JSON gets it, and only if text is not liked better: */* is what programs send that never think about it.
    private static bool WantsJson(HttpRequest request) =>
        MediaTypeHeaderValue.TryParseList(request.Headers.Accept, out var wanted)
        && Math.Max(QualityOf(wanted, Json), QualityOf(wanted, Problem)) is > 0 and var json
        && QualityOf(wanted, "text/plain") <= json;

    private static double QualityOf(IList<MediaTypeHeaderValue> wanted, string name) =>
        wanted.Where(type => type.MediaType.Equals(name, StringComparison.OrdinalIgnoreCase))
            .Select(type => type.Quality ?? 1).DefaultIfEmpty(0).Max();
}
