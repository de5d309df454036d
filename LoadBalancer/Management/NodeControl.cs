using System.Text.Json.Nodes;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What operators can ask of the node as a whole.</summary>
/// <param name="file">The path of its configuration file; null where it has none.</param>
/// <param name="reload">Reads the file again; null where there is none.</param>
/// <param name="time">The clock.</param>
internal sealed class NodeControl(string? file, Func<Task<ReloadResult>>? reload, TimeProvider time)
{
    private readonly DateTimeOffset _startedAt = time.GetUtcNow();
    private readonly long _start = time.GetTimestamp();

    /// <summary>What runs here, and since when.</summary>
    public JsonObject Describe() => new()
    {
        ["version"] = BuildInformation.Version,
        ["build"] = BuildInformation.Kind,
        ["commit"] = BuildInformation.Commit,
        ["process"] = Environment.ProcessId,
        ["startedAt"] = StatusJson.Time(_startedAt),
        ["uptimeSeconds"] = Math.Floor(time.GetElapsedTime(_start).TotalSeconds),
        ["configuration"] = file,
    };

    /// <summary>Applies the configuration file as it is now. Answers 200, or 422 with its errors; nothing has changed then.</summary>
    public async Task ReloadAsync(HttpContext context)
    {
        if (reload is null)
        {
            await Answer.ErrorAsync(context, Status409Conflict, "this node has no configuration file");
            return;
        }
        try
        {
            var result = await reload();
            var isApplied = result.Errors.Count == 0;
            await Answer.JsonAsync(context, isApplied ? Status200OK : Status422UnprocessableEntity, new JsonObject
            {
                ["applied"] = isApplied,
                ["errors"] = Texts(result.Errors),
                ["warnings"] = Texts(result.Warnings),
            });
        }
        catch (OperationCanceledException)
        {
            await Answer.ErrorAsync(context, Status503ServiceUnavailable, "the node is stopping");
        }
    }

    private static JsonArray Texts(IReadOnlyList<string> texts) => [.. texts.Select(text => (JsonNode?)text)];
}
