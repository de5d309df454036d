using System.Globalization;
using System.Text.Json.Nodes;

namespace LoadBalancer.CommandLine;

/// <summary>The command <c>status</c>: first what is wrong, then a row for each pool. It fits one screen.</summary>
internal static class StatusView
{
    private const int MostProblems = 10;
    private const int MostPools = 20;

    /// <summary>Prints the state of the node.</summary>
    /// <returns>The exit code: 0, also where something is wrong with a backend.</returns>
    public static async Task<int> PrintAsync(ManagementClient client, bool asJson, CancellationToken cancel)
    {
        var node = await client.SendAsync(HttpMethod.Get, "/api/node", null, cancel);
        if (asJson)
        {
            var status = await client.SendAsync(HttpMethod.Get, "/status", null, cancel);
            foreach (var (name, value) in node.AsObject())
            {
                status[name] = value?.DeepClone();
            }
            Screen.Print(status);
            return 0;
        }
        var pools = PoolsView.PoolsOf(await client.SendAsync(HttpMethod.Get, "/api/pools", null, cancel));
        var cluster = node["cluster"] is null ? null : await client.SendAsync(HttpMethod.Get, "/api/cluster", null, cancel);
        PrintProblems([.. NodeProblems(node, cluster), .. pools.SelectMany(Problems)]);
        PrintPools(pools);
        Console.WriteLine();
        Console.WriteLine(
            $"LoadBalancer {Screen.Text(node["version"])}, process {Screen.Text(node["process"])}, up {Uptime(node["uptimeSeconds"])}, "
            + $"configuration {(node["configuration"] is { } file ? Screen.Text(file) : "none")}");
        return 0;
    }

    private static IEnumerable<string> NodeProblems(JsonNode node, JsonNode? cluster)
    {
        var errors = node["lastReload"]?["errors"] as JsonArray ?? [];
        if (errors.Count > 0)
        {
            var more = errors.Count > 1 ? $" (and {errors.Count - 1} more: see 'reload')" : "";
            yield return $"the configuration has changed and is not used: {Screen.Text(errors[0])}{more}";
        }
        if (cluster is null)
        {
            yield break;
        }
        if (cluster["connected"]?.GetValue<bool>() == false)
        {
            var why = cluster["error"] is { } error ? Screen.Text(error) : $"not connected to etcd: {Screen.Text(cluster["reason"])}";
            yield return $"cluster '{Screen.Text(cluster["name"])}': {why}";
        }
        foreach (var member in cluster["nodes"] as JsonArray ?? [])
        {
            if (member!["configuration"]?["error"] is { } error)
            {
                yield return $"node '{Screen.Text(member["name"])}' does not use the configuration that was pushed: {Screen.Text(error)}";
            }
        }
    }

    private static IEnumerable<string> Problems(JsonNode pool)
    {
        var name = Screen.Text(pool["name"]);
        var backends = PoolsView.BackendsOf(pool);
        if (!backends.Any(backend => PoolsView.IsUp(backend) && Screen.Text(backend["adminState"]) == "Ready"))
        {
            yield return $"pool '{name}': no backend can take requests";
        }
        foreach (var backend in backends.Where(backend => !PoolsView.IsUp(backend)))
        {
            yield return $"pool '{name}': backend '{Screen.Text(backend["name"])}' is down: {Screen.Text(backend["reason"])}";
        }
        foreach (var backend in backends.Where(backend => Screen.Text(backend["adminState"]) != "Ready"))
        {
            var state = Screen.Text(backend["adminState"]).ToLowerInvariant();
            yield return $"pool '{name}': backend '{Screen.Text(backend["name"])}' is {state}";
        }
        if (pool["broker"]?["conflict"]?.GetValue<bool>() == true)
        {
            yield return $"pool '{name}': two brokers are the main at once";
        }
    }

    private static void PrintProblems(List<string> problems)
    {
        foreach (var problem in problems.Take(MostProblems))
        {
            Screen.PrintBad(problem);
        }
        if (problems.Count > MostProblems)
        {
            Screen.PrintBad($"… and {problems.Count - MostProblems} more: see 'pools'");
        }
        Console.WriteLine(problems.Count == 0 ? "nothing is wrong\n" : "");
    }

    private static void PrintPools(IReadOnlyList<JsonNode> pools)
    {
        var table = new Table("POOL", "POLICY", " UP", " IN FLIGHT", " QUEUE", " /S", " ERRORS", " P99");
        foreach (var pool in pools.Take(MostPools))
        {
            var backends = PoolsView.BackendsOf(pool);
            var up = backends.Count(PoolsView.IsUp);
            table.Add(
                up < backends.Count, Screen.Text(pool["name"]), Screen.Text(pool["policy"]), $"{up} of {backends.Count}",
                backends.Sum(backend => backend["inFlight"]?.GetValue<int>() ?? 0).ToString(CultureInfo.InvariantCulture),
                Screen.Number(pool["queueLength"]), PoolsView.Rate(pool), Screen.Number(pool["errorShare"], "0.0 %"),
                Screen.Number(pool["p99Ms"], "0.#", " ms"));
        }
        Screen.Print(table);
        if (pools.Count > MostPools)
        {
            Console.WriteLine($"… and {pools.Count - MostPools} more pools: see 'pools'");
        }
    }

    private static string Uptime(JsonNode? seconds)
    {
        var time = TimeSpan.FromSeconds(seconds?.GetValue<double>() ?? 0);
        return time.TotalDays >= 1 ? $"{(int)time.TotalDays} d {time.Hours} h"
            : time.TotalHours >= 1 ? $"{time.Hours} h {time.Minutes} min"
            : time.TotalMinutes >= 1 ? $"{time.Minutes} min {time.Seconds} s"
            : $"{time.Seconds} s";
    }
}
