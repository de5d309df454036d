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
        var entries = Entries(request.Parts.Changes.Audit);
        return Page.AnswerNumberedAsync<JsonObject>(
            request, "after", after => [.. entries.Where(entry => after is null || EventLog.IdOf(entry) < after)], EventLog.IdOf,
            some => new JsonObject { ["entries"] = new JsonArray([.. some]) });
    }

    // The newest first.
    private static List<JsonObject> Entries(AuditLog audit)
    {
        var seen = new HashSet<(string?, string?)>(); // what a later entry is about
        var entries = new List<JsonObject>();
        foreach (var entry in audit.Entries)
        {
            var json = entry.ToJson();
            json["canUndo"] = entry.IsUndoable && !seen.Contains((entry.Pool, entry.Backend));
            entries.Add(json);
            if (entry.Result == AuditEntry.Done)
            {
                seen.Add((entry.Pool, entry.Backend));
            }
        }
        return entries;
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
            return later is not null
                ? RefusedAsync($"'{later.User}' has changed the same thing since, at {later.Time} (entry {later.Id})")
                : request.Parts.Pools().FirstOrDefault(pool => pool.Name == entry.Pool) is not { } found
                    ? RefusedAsync($"there is no pool '{entry.Pool}' any more")
                : entry.Backend is null ? UndoPoolAsync(request, found, entry)
                : UndoBackendAsync(request, found, entry);
        });
    }

    private static Task<ChangeOutcome> UndoPoolAsync(ApiRequest request, BackendPool pool, AuditEntry entry)
    {
        var (from, to, now) = (PoolSettings.Read(entry.From), PoolSettings.Read(entry.To), request.Parts.View.FindSettings(pool.Name));
        return from is null || now is null || now != to
            ? RefusedAsync($"pool '{pool.Name}' has other settings now ({now}): something else has changed them since")
            : PoolApi.ChangeAsync(request, pool, now, from, done => new JsonObject { ["entry"] = done.ToJson() });
    }

    private static async Task<ChangeOutcome> UndoBackendAsync(ApiRequest request, BackendPool pool, AuditEntry entry)
    {
        var (name, from, to) = (entry.Backend!, BackendSettings.Read(entry.From), BackendSettings.Read(entry.To));
        var backend = PoolApi.FindBackend(pool, name);
        var now = backend is null ? null : BackendSettings.Of(backend);
        if (from is null && to is null || backend is null && pool.IsJoinedByWorkers)
        {
            return Refused(backend is null ? $"backend '{name}' of pool '{pool.Name}' is not there" : $"entry {entry.Id} is damaged");
        }
        // What is to be removed drains first.
        if (now != to && (to is not null || now != (from! with { AdminState = AdminState.Draining })))
        {
            return Refused(
                $"backend '{name}' of pool '{pool.Name}' is {Text(now)} now, not {Text(to)}: something else has changed it since");
        }
        var administration = request.Parts.Administration;
        var result = from is null
            ? await administration.DeleteAsync(pool, backend!, request.User)
            : await administration.RestoreAsync(pool, backend?.Name ?? name, from, request.User);
        return result.IsUnavailable ? ChangeOutcome.Refused(Status503ServiceUnavailable, result.Error)
            : result.Backend is null ? Refused(result.Error)
            : ChangeOutcome.Done(to?.ToJson(), from?.ToJson(), Done);

        static JsonNode Done(AuditEntry done) => new JsonObject { ["entry"] = done.ToJson() };
    }

    private static string Text(BackendSettings? settings) => settings is null ? "gone" : JsonText.Of(settings.ToJson());

    private static Task<ChangeOutcome> RefusedAsync(string reason) => Task.FromResult(Refused(reason));

    private static ChangeOutcome Refused(string reason) => ChangeOutcome.Refused(Status409Conflict, reason + "; nothing was undone");
}
