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
        Get("/status", request => StatusJson.Status(request.Parts.Pools())),
        Get("/errors/stats", request => StatusJson.Errors(request.Parts.Errors.Summary())),
        new("GET", "/metrics", request =>
            Answer.BytesAsync(request.Context, Status200OK, PrometheusType, Encoding.UTF8.GetBytes(request.Parts.Metrics()))),
        new("GET", "/openapi.json", request => Answer.BytesAsync(request.Context, Status200OK, "application/json", OpenApi)),
        Get("/api/node", request => request.Parts.Node.Describe(request.User)),
        Get("/api/routes", request => new JsonObject { ["routes"] = request.Parts.Events.Routes() }),
        new("GET", "/api/events", request =>
            request.Parts.Events.ServeAsync(request.Context, request.User, request.Parts.Lifetime.ApplicationStopping)),
        new("POST", "/api/reload", request => request.Parts.Changes.RunAsync(request, AuditAction.Reload, request.Parts.Node.ReloadAsync)),
        new("POST", "/api/upgrade", request => request.Parts.Changes.RunAsync(request, AuditAction.Upgrade, () => request.Parts.Node.UpgradeAsync(request))),
    ];

    private static ApiEndpoint Get(string path, Func<ApiRequest, JsonNode> read) =>
        new("GET", path, request => request.AnswerAsync(read(request)));
}
