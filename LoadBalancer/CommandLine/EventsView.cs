using System.Text.Json.Nodes;

namespace LoadBalancer.CommandLine;

/// <summary>The command <c>events</c>: what has changed, a line each.</summary>
internal static class EventsView
{
    /// <summary>Prints what the node remembers and, where that is wanted, what comes.</summary>
    public static async Task<int> PrintAsync(ManagementClient client, bool follow, bool asJson, CancellationToken cancel)
    {
        await foreach (var (name, data) in client.ReadEventsAsync("/api/events", cancel))
        {
            foreach (var change in name == "hello" ? data["log"] as JsonArray ?? [] : name == "change" ? [data] : [])
            {
                Print(change!, asJson);
            }
            if (!follow)
            {
                return 0; // The first event has all that is remembered.
            }
        }
        throw new CommandException(CommandException.NotReachable, "the node has ended the events: it stops, or this reader was too slow");
    }

    private static void Print(JsonNode change, bool asJson)
    {
        if (asJson)
        {
            Screen.Print(change);
            return;
        }
        var backend = change["backend"] is { } name ? $": backend '{Screen.Text(name)}'" : "";
        var where = change["pool"] is { } pool ? $"pool '{Screen.Text(pool)}'{backend} " : "";
        Console.WriteLine($"{Screen.Text(change["time"])}  {where}{Screen.Text(change["text"])}");
    }
}
