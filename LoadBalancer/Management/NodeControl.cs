using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Upgrade;
using Microsoft.AspNetCore.Http.Features;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What operators can ask of the node as a whole.</summary>
/// <param name="file">The path of its configuration file; null where it has none.</param>
/// <param name="reload">Reads the file again; null where there is none.</param>
/// <param name="lastReload">The last result of that; null where there was none.</param>
/// <param name="upgrader">Replaces this process by a new one; null where nothing is known about how it was started.</param>
/// <param name="cluster">The name of its cluster; null where it is in none.</param>
/// <param name="time">The clock.</param>
internal sealed class NodeControl(
    string? file, Func<Task<ReloadResult>>? reload, Func<ReloadResult?> lastReload, Upgrader? upgrader, string? cluster,
    TimeProvider time)
{
    private readonly DateTimeOffset _startedAt = time.GetUtcNow();
    private readonly long _start = time.GetTimestamp();

    /// <summary>What runs here, and since when.</summary>
    /// <param name="user">The user who asks.</param>
    public JsonObject Describe(ManagementUser user) => new()
    {
        ["version"] = BuildInformation.Version,
        ["build"] = BuildInformation.Kind,
        ["commit"] = BuildInformation.Commit,
        ["process"] = Environment.ProcessId,
        ["startedAt"] = StatusJson.Time(_startedAt),
        ["uptimeSeconds"] = Math.Floor(time.GetElapsedTime(_start).TotalSeconds),
        ["configuration"] = file,
        ["host"] = Environment.MachineName,
        ["cluster"] = cluster,
        ["user"] = user.ToJson(),
        ["lastReload"] = LastReload(),
    };

    /// <summary>When the file was read last, and what became of it; null before the first reload.</summary>
    public JsonObject? LastReload()
    {
        if (lastReload() is not { } last)
        {
            return null;
        }
        var json = Describe(last);
        json["time"] = StatusJson.Time(last.At);
        return json;
    }

    /// <summary>Applies the configuration file as it is now. 200, or 422 with its errors; nothing has changed then.</summary>
    public async Task<ChangeOutcome> ReloadAsync()
    {
        if (reload is null)
        {
            return ChangeOutcome.Refused(Status409Conflict, "this node has no configuration file");
        }
        try
        {
            var result = await reload();
            return new ChangeOutcome(result.Errors.Count == 0 ? Status200OK : Status422UnprocessableEntity)
            {
                Error = result.Errors.Count == 0 ? null : result.Errors[0],
                Body = _ => Describe(result),
            };
        }
        catch (OperationCanceledException)
        {
            return ChangeOutcome.Refused(Status503ServiceUnavailable, "the node is stopping");
        }
    }

    /// <summary>
    /// Replaces this process: by the same program, or by the one that the body names. 200 when the new process serves; 422 with the
    /// reasons where it does not, so that this one goes on; 409 where nothing was tried.
    /// </summary>
    public async Task<ChangeOutcome> UpgradeAsync(ApiRequest request)
    {
        string? program = null;
        if (request.Context.Features.Get<IHttpRequestBodyDetectionFeature>()?.CanHaveBody == true
            && !TryReadProgram(await request.Parts.Bodies.ReadJsonAsync(request.Context), out program))
        {
            return ChangeOutcome.Refused(
                Status400BadRequest, "the body is not what was expected: nothing, or {\"program\":\"/usr/bin/loadbalancer\"}");
        }
        if (upgrader is null)
        {
            return ChangeOutcome.Refused(Status409Conflict, "this node was not started as a program of its own");
        }
        var entry = await request.Parts.Changes.BeginAsync(request, AuditAction.Upgrade); // The new process takes this along.
        var result = await upgrader.RunAsync(program);
        if (result.IsRefused)
        {
            return ChangeOutcome.Refused(Status409Conflict, result.Errors[0]);
        }
        var isReplaced = result.Process is not null;
        return new ChangeOutcome(isReplaced ? Status200OK : Status422UnprocessableEntity)
        {
            Entry = isReplaced ? entry : null, // The audit goes on in the new process.
            Error = isReplaced ? null : result.Errors is [var error, ..] ? error : "the new process does not serve",
            Body = _ => new JsonObject
            {
                ["replaced"] = isReplaced,
                ["process"] = result.Process,
                ["errors"] = Texts(result.Errors),
            },
        };
    }

    private static bool TryReadProgram(JsonElement? body, out string? program)
    {
        program = null;
        if (body is not { ValueKind: JsonValueKind.Object } json)
        {
            return false;
        }
        foreach (var property in json.EnumerateObject())
        {
            if (property.Name != "program" || property.Value.ValueKind is not (JsonValueKind.String or JsonValueKind.Null))
            {
                return false;
            }
            program = property.Value.GetString();
        }
        return true;
    }

    private static JsonObject Describe(ReloadResult result) => new()
    {
        ["applied"] = result.Errors.Count == 0,
        ["errors"] = Texts(result.Errors),
        ["warnings"] = Texts(result.Warnings),
    };

    private static JsonArray Texts(IReadOnlyList<string> texts) => [.. texts.Select(text => (JsonNode?)text)];
}
