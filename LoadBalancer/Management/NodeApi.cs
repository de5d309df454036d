using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools.Statistics;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What can be asked about the node as a whole.</summary>
internal static class NodeApi
{
    /// <summary>Says that the node is alone, where something of a cluster is asked for.</summary>
    public const string NoCluster = "this node is in no cluster; the configuration has no LoadBalancer:Cluster";

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
        Get("/api/version", _ => new JsonObject
        {
            ["version"] = BuildInformation.Version,
            ["build"] = BuildInformation.Kind,
            ["commit"] = BuildInformation.Commit,
            ["runtime"] = RuntimeInformation.FrameworkDescription,
        }),
        new("GET", "/api/cluster", request => request.Parts.Cluster is { } cluster
            ? request.AnswerAsync(cluster(request.Context.Request.Query.ContainsKey("rates")))
            : Answer.ErrorAsync(request.Context, Status404NotFound, NoCluster)),
        new("GET", "/api/listeners", request => Page.AnswerAsync(
            request, request.Parts.View.Listeners(), listener => listener.Name,
            listeners => new JsonObject { ["listeners"] = new JsonArray([.. listeners.Select(listener => listener.ToJson())]) })),
        Get("/api/config", request =>
        {
            var json = request.Parts.View.Configuration();
            json["lastReload"] = request.Parts.Node.LastReload();
            return json;
        }),
        new("GET", "/api/routes", request => Page.AnswerAsync(
            request, request.Parts.Events.AllRoutes, route => $"{route.Listener}/{route.Route}",
            routes => new JsonObject { ["routes"] = RoutesJson(request, routes) })),
        new("GET", "/api/events", request => request.Context.Request.Query.ContainsKey("since") ? ChangesAsync(request)
            : request.Parts.Events.ServeAsync(request.Context, request.User, request.Parts.Lifetime.ApplicationStopping)),
        new("POST", "/api/reload", request => request.Parts.Changes.RunAsync(request, AuditAction.Reload, request.Parts.Node.ReloadAsync)),
        new("POST", "/api/upgrade", request => request.Parts.Changes.RunAsync(
            request, AuditAction.Upgrade, () => request.Parts.Node.UpgradeAsync(request))),
    ];

    private static JsonArray RoutesJson(ApiRequest request, IReadOnlyList<RouteStatistics> routes)
    {
        var views = request.Parts.View.Routes();
        var json = request.Parts.Events.Routes(routes);
        foreach (var (route, one) in routes.Zip(json))
        {
            var view = views.GetValueOrDefault((route.Listener, route.Route));
            one!["errors"] = route.Answers.Codes().Where(code => code.Code >= 500).Sum(code => code.Count);
            one["match"] = view?.Match;
            one["action"] = view?.Action;
        }
        return json;
    }

    private static Task ChangesAsync(ApiRequest request)
    {
        var (isComplete, last) = (false, 0L);
        return Page.AnswerNumberedAsync(
            request, "since",
            since =>
            {
                (var changes, isComplete, last) = request.Parts.Events.ChangesAfter(since ?? 0);
                return changes;
            },
            EventLog.IdOf,
            changes => new JsonObject
            {
                ["events"] = new JsonArray([.. changes.Select(change => change.DeepClone())]),
                ["last"] = last,
                ["complete"] = isComplete,
            });
    }

    private static ApiEndpoint Get(string path, Func<ApiRequest, JsonNode> read) =>
        new("GET", path, request => request.AnswerAsync(read(request)));
}
