using System.Globalization;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>Who has changed what, and the way back.</summary>
internal static class AuditApi
{
    /// <summary>All of it.</summary>
    public static IReadOnlyList<ApiEndpoint> Endpoints { get; } =
    [
        new("GET", "/api/audit", ListAsync),
        new("POST", "/api/audit/{id}/undo", UndoAsync),
    ];

    private static Task ListAsync(ApiRequest request)
    {
        var seen = new HashSet<(string?, string?)>(); // what a later entry is about
        var entries = new JsonArray();
        foreach (var entry in request.Parts.Changes.Audit.Entries)
        {
            var json = entry.ToJson();
            json["canUndo"] = entry.IsUndoable && !seen.Contains((entry.Pool, entry.Backend));
            entries.Add((JsonNode)json);
            if (entry.Result == AuditEntry.Done)
            {
                seen.Add((entry.Pool, entry.Backend));
            }
        }
        return request.AnswerAsync(new JsonObject { ["entries"] = entries });
    }

    private static Task UndoAsync(ApiRequest request)
    {
        var audit = request.Parts.Changes.Audit;
        if (!long.TryParse(request.Names[0], NumberStyles.None, CultureInfo.InvariantCulture, out var id)
            || audit.Entries.FirstOrDefault(one => one.Id == id) is not { } entry)
        {
            return request.RefuseAsync(
                Status404NotFound, $"the audit has no entry '{request.Names[0]}'; expected the id of one in /api/audit");
        }
        if (!entry.IsUndoable)
        {
            return request.RefuseAsync(
                Status409Conflict, $"entry {id} cannot be undone; expected a change of a pool or a backend that was done");
        }
        return request.Parts.Changes.RunAsync(request, AuditAction.Undo, entry.Pool!, entry.Backend, () =>
        {
            var later = audit.Entries.TakeWhile(other => other.Id > id)
                .FirstOrDefault(other => other.Result == AuditEntry.Done && other.IsAboutTheSameAs(entry));
            return Task.FromResult(
                later is not null ? Refused($"'{later.User}' has changed the same thing since, at {later.Time} (entry {later.Id})")
                : request.Parts.Pools().FirstOrDefault(pool => pool.Name == entry.Pool) is not { } found
                    ? Refused($"there is no pool '{entry.Pool}' any more")
                : UndoBackend(request, found, entry));
        });
    }

    private static ChangeOutcome UndoBackend(ApiRequest request, BackendPool pool, AuditEntry entry)
    {
        var (name, from, to) = (entry.Backend!, BackendSettings.Read(entry.From), BackendSettings.Read(entry.To));
        var backend = PoolApi.FindBackend(pool, name);
        var now = backend is null ? null : BackendSettings.Of(backend);
        // What is to be removed drains first.
        var isAsItWas = now == to || to is null && now == (from! with { AdminState = AdminState.Draining });
        if (!isAsItWas)
        {
            return Refused(
                $"backend '{name}' of pool '{pool.Name}' is {Text(now)} now, not {Text(to)}: something else has changed it since");
        }
        var administration = request.Parts.Administration;
        if (from is null)
        {
            administration.Delete(pool, backend!, request.User);
            return ChangeOutcome.Done(to!.ToJson(), null, Done);
        }
        return administration.Restore(pool, name, from, request.User) is null
            ? Refused($"pool '{pool.Name}' has just been removed")
            : ChangeOutcome.Done(to?.ToJson(), from.ToJson(), Done);

        static JsonNode Done(AuditEntry done) => new JsonObject { ["entry"] = done.ToJson() };
    }

    private static string Text(BackendSettings? settings) => settings is null ? "gone" : JsonText.Of(settings.ToJson());

    private static ChangeOutcome Refused(string reason) => ChangeOutcome.Refused(Status409Conflict, reason + "; nothing was undone");
}
