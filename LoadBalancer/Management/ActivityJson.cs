using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Management;

/// <summary>What has happened lately, as the management API writes it.</summary>
internal static class ActivityJson
{
    /// <summary>The last minutes of a pool, or of one of its backends, second by second.</summary>
    public static JsonObject History(BackendPool pool, Backend? backend, Activity activity)
    {
        var history = backend is null ? activity.HistoryOf(pool) : activity.HistoryOf(backend);
        JsonArray Series(Func<PastRates, JsonNode?> of) => [.. history.Select(of)];
        var json = new JsonObject { ["pool"] = pool.Name, ["backend"] = backend?.Name };
        if (pool.IsRelayed)
        {
            json["connectionsPerSecond"] = Series(rates => rates.RequestsPerSecond);
            json["bytesInPerSecond"] = Series(rates => rates.BytesInPerSecond);
            json["bytesOutPerSecond"] = Series(rates => rates.BytesOutPerSecond);
            return json;
        }
        json["requestsPerSecond"] = Series(rates => rates.RequestsPerSecond);
        json["errorShare"] = Series(rates => rates.ErrorShare);
        json["p50Ms"] = Series(rates => rates.P50Ms);
        json["p99Ms"] = Series(rates => rates.P99Ms);
        return json;
    }

    /// <summary>The response times of a pool over a span of time.</summary>
    public static JsonObject Latency(BackendPool pool, LatencySpan span, LatencyHistory? latency) => new()
    {
        ["pool"] = pool.Name,
        ["span"] = span.Name,
        ["stepSeconds"] = span.Step.TotalSeconds,
        ["columns"] = span.Columns,
        ["boundsMs"] = new JsonArray([.. LatencyHistory.Bounds.Select(bound => (JsonNode)Math.Round(bound, 3))]),
        ["steps"] = new JsonArray([.. (latency?.Read(span) ?? []).Select(Column)]),
    };

    /// <summary>The errors of the last hour: in groups, and of each route.</summary>
    public static JsonObject Errors(IReadOnlyList<ErrorGroup> groups, IEnumerable<(RouteStatistics Route, long Errors)> routes) => new()
    {
        ["groups"] = new JsonArray([.. groups.Select(Group)]),
        ["routes"] = new JsonArray([.. routes.Select(entry => new JsonObject
        {
            ["listener"] = entry.Route.Listener,
            ["name"] = entry.Route.Route,
            ["lastHour"] = entry.Errors,
        })]),
    };

    private static JsonNode Group(ErrorGroup group) => new JsonObject
    {
        ["type"] = group.Type,
        ["kind"] = group.Kind,
        ["listener"] = group.Place.Listener,
        ["route"] = group.Place.Route,
        ["pool"] = group.Place.Pool,
        ["backend"] = group.Place.Backend,
        ["lastHour"] = group.LastHour,
        ["last5Minutes"] = group.LastMinutes,
        ["lastTime"] = StatusJson.Time(group.Example.Time),
        ["example"] = group.Example.Message,
    };

    private static JsonNode Column(LatencyColumn column) => new JsonObject
    {
        ["start"] = StatusJson.Time(column.Start),
        ["p50Ms"] = column.P50Ms,
        ["p90Ms"] = column.P90Ms,
        ["p99Ms"] = column.P99Ms,
        ["errors"] = column.Errors,
        ["counts"] = new JsonArray([.. column.Counts.Select(count => (JsonNode)count)]),
    };
}
