using System.Text.Json.Nodes;

namespace LoadBalancer.CommandLine;

/// <summary>The command <c>pools</c>: the backends of each pool, one in a row.</summary>
internal static class PoolsView
{
    /// <summary>Prints the pools.</summary>
    /// <param name="client">Asks the node.</param>
    /// <param name="name">The name of the only pool that is wanted; null: all.</param>
    /// <param name="asJson">Whether to print what the API answers.</param>
    /// <param name="cancel">Ends it.</param>
    public static async Task<int> PrintAsync(ManagementClient client, string? name, bool asJson, CancellationToken cancel)
    {
        var answer = await client.SendAsync(HttpMethod.Get, "/api/pools", null, cancel);
        var pools = PoolsOf(answer);
        bool IsWanted(JsonNode pool) => name is null || Screen.Text(pool["name"]).Equals(name, StringComparison.OrdinalIgnoreCase);
        var wanted = pools.Where(IsWanted).ToList();
        if (name is not null && wanted.Count == 0)
        {
            var known = string.Join(", ", pools.Select(pool => $"'{Screen.Text(pool["name"])}'"));
            throw new CommandException(CommandException.Refused, $"there is no pool '{name}'; expected one of {known}");
        }
        if (asJson)
        {
            Screen.Print(name is null ? answer : wanted[0]);
            return 0;
        }
        var table = new Table("POOL", "BACKEND", "ADDRESS", "HEALTH", "STATE", " WEIGHT", " IN FLIGHT", " /S", " ERRORS", " P99");
        foreach (var pool in wanted)
        {
            foreach (var backend in BackendsOf(pool))
            {
                table.Add(
                    !IsUp(backend), Screen.Text(pool["name"]), Screen.Text(backend["name"]), Screen.Text(backend["address"]),
                    IsUp(backend) ? "up" : $"down: {Screen.Text(backend["reason"])}", Screen.Text(backend["adminState"]),
                    Screen.Number(backend["weight"]), Screen.Number(backend["inFlight"]), Rate(backend),
                    Screen.Number(backend["errorShare"], "0.0 %"), Screen.Number(backend["p99Ms"], "0.#", " ms"));
            }
        }
        Screen.Print(table);
        return 0;
    }

    /// <summary>The pools of an answer of <c>/api/pools</c>.</summary>
    public static IReadOnlyList<JsonNode> PoolsOf(JsonNode answer) => List(answer["pools"]);

    /// <summary>The backends of a pool.</summary>
    public static IReadOnlyList<JsonNode> BackendsOf(JsonNode pool) => List(pool["backends"]);

    /// <summary>Whether a backend is healthy.</summary>
    public static bool IsUp(JsonNode backend) => backend["healthy"]?.GetValue<bool>() == true;

    /// <summary>Requests, or connections, in the last second.</summary>
    public static string Rate(JsonNode json) => Screen.Number(json["requestsPerSecond"] ?? json["connectionsPerSecond"], "0.#");

    private static List<JsonNode> List(JsonNode? list) => [.. (list as JsonArray ?? []).OfType<JsonNode>()];
}
