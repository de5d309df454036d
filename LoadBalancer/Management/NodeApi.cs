using System.Text;
using System.Text.Json.Nodes;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What can be asked about the node as a whole.</summary>
internal static class NodeApi
{
    private const string PrometheusType = "text/plain; version=0.0.4; charset=utf-8";

    private static readonly byte[] OpenApi = EmbeddedFile.Read("openapi.json");

    /// <summary>All of it.</summary>
    public static IReadOnlyList<ApiEndpoint> Endpoints { get; } =
    [
        new("GET", "/health", request => Answer.HealthAsync(request.Context, request.Parts.Pools(), request.Parts.Lifetime)),
        Get("/status", parts => StatusJson.Status(parts.Pools())),
        Get("/errors/stats", parts => StatusJson.Errors(parts.Errors.Summary())),
        new("GET", "/metrics", request =>
            Answer.BytesAsync(request.Context, Status200OK, PrometheusType, Encoding.UTF8.GetBytes(request.Parts.Metrics()))),
        new("GET", "/openapi.json", request => Answer.BytesAsync(request.Context, Status200OK, "application/json", OpenApi)),
        Get("/api/node", parts => parts.Node.Describe()),
        Get("/api/routes", parts => new JsonObject { ["routes"] = parts.Events.Routes() }),
        new("GET", "/api/events", request => request.Parts.Events.ServeAsync(request.Context, request.Parts.Lifetime.ApplicationStopping)),
        new("POST", "/api/reload", request => request.Parts.Node.ReloadAsync(request.Context)),
        new("POST", "/api/upgrade", request => request.Parts.Node.UpgradeAsync(request.Context, request.Parts.Bodies)),
    ];

    private static ApiEndpoint Get(string path, Func<ManagementParts, JsonNode> read) =>
        new("GET", path, request => request.AnswerAsync(read(request.Parts)));
}
