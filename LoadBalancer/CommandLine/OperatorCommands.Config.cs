using System.CommandLine;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration;

namespace LoadBalancer.CommandLine;

/// <summary>The commands for the configuration that the nodes of a cluster share.</summary>
internal sealed partial class OperatorCommands
{
    private const string SharedPath = "/api/cluster/configuration";

    // How long the other nodes may take until it is said of them that they do not use what was pushed.
    private static readonly TimeSpan LongestPush = TimeSpan.FromSeconds(2);

    private Command Config()
    {
        var config = new Command("config", "Push a configuration to all nodes of a cluster, show it, and go back.");

        var file = new Argument<string>("FILE")
        {
            Description = "A configuration file. Its Pools, Listeners, RateLimits and Authentication are used.",
        };
        var push = New("push", "Check FILE at the node, and let all nodes use it.");
        push.Arguments.Add(file);
        Do(push, async (client, options, cancel) =>
        {
            using var content = new ByteArrayContent(Read(options.GetValue(file)!));
            content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            var result = await client.SendContentAsync(HttpMethod.Put, SharedPath, content, cancel);
            return await ReportPushAsync(client, result, options, cancel);
        });

        var show = New("show", "Print the configuration that was pushed last; an error where none was.");
        Do(show, async (client, options, cancel) =>
        {
            var shown = await client.SendAsync(HttpMethod.Get, SharedPath, null, cancel);
            if (options.GetValue(_json))
            {
                Screen.Print(shown);
            }
            else
            {
                Screen.PrintText(shown["text"]);
            }
            return 0;
        });

        var history = New("history", "Show what was pushed, the newest first.");
        Do(history, async (client, options, cancel) =>
        {
            var json = await client.SendAsync(HttpMethod.Get, $"{SharedPath}/history", null, cancel);
            if (options.GetValue(_json))
            {
                Screen.Print(json);
                return 0;
            }
            var table = new Table(" REVISION", "TIME", "NODE", "BY", "ROLLBACK OF");
            foreach (var entry in json["history"] as JsonArray ?? [])
            {
                table.Add(
                    false, Screen.Text(entry!["revision"]), Seconds(Screen.Text(entry["time"])), Screen.Text(entry["node"]),
                    Screen.Text(entry["user"]), Screen.Text(entry["rollbackOf"]));
            }
            Screen.Print(table);
            return 0;
        });

        var number = new Argument<long>("N") { Description = "Its revision, as the history shows it." };
        var rollback = New("rollback", "Push a former configuration again.");
        rollback.Arguments.Add(number);
        Do(rollback, async (client, options, cancel) =>
        {
            var path = $"{SharedPath}/history/{options.GetValue(number).ToString(CultureInfo.InvariantCulture)}/rollback";
            return await ReportPushAsync(client, await client.SendAsync(HttpMethod.Post, path, null, cancel), options, cancel);
        });

        new[] { push, show, history, rollback }.ToList().ForEach(config.Subcommands.Add);
        return config;
    }

    private async Task<int> ReportPushAsync(ManagementClient client, JsonNode result, ParseResult options, CancellationToken cancel)
    {
        var isApplied = result["applied"]?.GetValue<bool>() == true;
        var code = await ReportAsync(result, options, isApplied, (result["revision"], isApplied) switch
        {
            (null, _) => "nothing was pushed",
            (var revision, true) => $"configuration {Screen.Text(revision)} was pushed, and this node uses it",
            (var revision, false) => $"configuration {Screen.Text(revision)} was pushed, but this node cannot use it",
        });
        if (options.GetValue(_json) || result["revision"] is not { } pushed)
        {
            return code;
        }
        var without = await OthersWithoutAsync(client, pushed.GetValue<long>(), cancel);
        foreach (var line in without)
        {
            await Console.Error.WriteLineAsync(line);
        }
        return without.Count == 0 ? code : CommandException.Refused;
    }

    // The other nodes that do not use it after some time. Those that do not share a configuration say nothing of one.
    private static async Task<List<string>> OthersWithoutAsync(ManagementClient client, long revision, CancellationToken cancel)
    {
        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var cluster = await client.SendAsync(HttpMethod.Get, "/api/cluster", null, cancel);
            var without = (cluster["nodes"] as JsonArray ?? [])
                .Where(node => Screen.Text(node!["name"]) != Screen.Text(cluster["node"])
                    && !(node["configuration"]?["revision"]?.GetValue<long>() >= revision))
                .ToList();
            if (without.Count == 0 || TimeProvider.System.GetElapsedTime(start) > LongestPush)
            {
                return [.. without.Where(node => node!["configuration"] is not null).Select(node =>
                    $"node '{Screen.Text(node!["name"])}' does not use it: "
                    + (node["configuration"]!["error"] is { } error ? Screen.Text(error) : "it has not said why; see 'status'"))];
            }
            await Task.Delay(WaitPoll, TimeProvider.System, cancel);
        }
    }

    private static byte[] Read(string file)
    {
        try
        {
            var length = new FileInfo(file).Length;
            return length <= PushedText.Largest ? File.ReadAllBytes(file)
                : throw new CommandException(CommandException.Refused, $"'{file}' has {length} bytes; expected 1 MiB at the most");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            var isMissing = e is FileNotFoundException or DirectoryNotFoundException;
            throw new CommandException(
                CommandException.Refused, $"'{file}' cannot be read: {(isMissing ? "there is no such file" : e.Message)}");
        }
    }

    // 2026-11-30T21:00:00.1234567Z
    private static string Seconds(string time) => time.Split('.') is [var seconds, _] ? $"{seconds}Z" : time;
}
