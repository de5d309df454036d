using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Deploy;

/// <summary>What deploy/grafana/loadbalancer.json has in it.</summary>
internal static partial class GrafanaDashboard
{
    private static readonly JsonNode Json =
        JsonNode.Parse(File.ReadAllText(Path.Combine(Repository.Root, "deploy", "grafana", "loadbalancer.json")))!;

    /// <summary>Its panels, rows included.</summary>
    public static IReadOnlyList<JsonNode> Panels { get; } = [.. Json["panels"]!.AsArray().OfType<JsonNode>()];

    /// <summary>The queries of its panels and variables, as Prometheus gets them if nothing is chosen.</summary>
    public static IReadOnlyList<string> Queries { get; } =
    [
        .. Json["templating"]!["list"]!.AsArray().Select(variable => (string?)variable!["definition"]).OfType<string>()
            .Select(query => Plain(LabelValues().Match(query).Groups[1].Value)),
        .. Panels.SelectMany(panel => panel["targets"]?.AsArray() ?? []).Select(target => Plain((string)target!["expr"]!)),
    ];

    private static string Plain(string query) => Variable().Replace(query.Replace("$__rate_interval", "10s"), ".*");

    [GeneratedRegex("^label_values\\((.*), [a-z]+\\)$")]
    private static partial Regex LabelValues();

    [GeneratedRegex("\\$[a-z_]+")]
    private static partial Regex Variable();
}
