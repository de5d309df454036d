using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Pools;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What can be asked about pools and their backends, and changed of them.</summary>
internal static class PoolApi
{
    private const string Pool = "/api/pools/{pool}";
    private const string Backends = Pool + "/backends";
    private const string Backend = Backends + "/{backend}";

    /// <summary>All of it.</summary>
    public static IReadOnlyList<ApiEndpoint> Endpoints { get; } =
    [
        new("GET", "/api/pools", request => Page.AnswerAsync(
            request, request.Parts.Pools(), pool => pool.Name,
            pools => new JsonObject { ["pools"] = request.Parts.Events.Pools(pools) })),
        new("GET", Pool, request => OnPoolAsync(request, pool => ShowAsync(request, pool))),
        new("PATCH", Pool, request => OnPoolAsync(request, pool => ChangeAsync(request, pool))),
        new("GET", Backends, ListAsync),
        new("GET", Backend, request => OnBackendAsync(request, (_, backend) => ShowAsync(request, backend))),
        new("PATCH", Backend, request => OnBackendAsync(request, (pool, backend) => ChangeAsync(
            request, AuditAction.Patch, pool, backend.Name,
            (json, now) => now is null ? GoneAsync(pool, backend.Name)
                : request.Parts.Administration.PatchAsync(pool, now, json, request.User)))),
        new("PUT", Backend, PutAsync),
        new("DELETE", Backend, request => OnBackendAsync(request, (pool, backend) => DeleteAsync(request, pool, backend.Name))),
    ];

    /// <summary>A backend by name; null where there is none. Workers may have names that differ in case alone.</summary>
    public static Backend? FindBackend(BackendPool pool, string name) =>
        pool.Snapshot.Members.FirstOrDefault(member => member.Name == name)
        ?? pool.Snapshot.Members.FirstOrDefault(member => member.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    internal static Task OnPoolAsync(ApiRequest request, Func<BackendPool, Task> answer)
    {
        var (name, pools) = (request.Names[0], request.Parts.Pools());
        return pools.FirstOrDefault(candidate => candidate.Name.Equals(name, StringComparison.OrdinalIgnoreCase)) is { } pool
            ? answer(pool)
            : request.RefuseAsync(
                Status404NotFound, $"there is no pool '{name}'; expected one of {Names(pools.Select(other => other.Name))}");
    }

    private static Task OnBackendAsync(ApiRequest request, Func<BackendPool, Backend, Task> answer) =>
        OnPoolAsync(request, pool => FindBackend(pool, request.Names[1]) is { } backend
            ? answer(pool, backend)
            : request.RefuseAsync(
                Status404NotFound, $"pool '{pool.Name}' has no backend '{request.Names[1]}'; "
                + $"expected one of {Names(pool.Snapshot.Members.Select(member => member.Name))}"));

    // The shape of PoolOptions.BackendsFile, with more fields.
    private static Task ListAsync(ApiRequest request) => OnPoolAsync(request, pool =>
    {
        string? state = request.Context.Request.Query["state"];
        Func<Backend, bool>? isWanted = state switch
        {
            null => _ => true,
            "up" => backend => backend.Health.IsUp,
            "down" => backend => !backend.Health.IsUp,
            "ready" => backend => backend.AdminState == AdminState.Ready,
            "draining" => backend => backend.AdminState == AdminState.Draining,
            "disabled" => backend => backend.AdminState == AdminState.Disabled,
            _ => null,
        };
        return isWanted is null
            ? request.RefuseAsync(Status400BadRequest, $"state '{state}' is not valid; expected up, down, ready, draining or disabled")
            : Page.AnswerAsync(
                request, pool.Snapshot.Members.Where(isWanted), backend => backend.Name,
                backends => new JsonArray([.. backends.Select(request.Parts.Events.Backend)]));
    });

    private static Task ShowAsync(ApiRequest request, BackendPool pool)
    {
        if (request.Parts.View.FindSettings(pool.Name) is { } settings)
        {
            request.Context.Response.Headers.ETag = Preconditions.TagOf(settings.ToJson());
        }
        return request.AnswerAsync(Show(request, pool));
    }

    private static JsonObject Show(ApiRequest request, BackendPool pool)
    {
        var json = (JsonObject)request.Parts.Events.Pools([pool])[0]!.DeepClone();
        json["settings"] = request.Parts.View.FindSettings(pool.Name)?.ToJson();
        return json;
    }

    private static async Task ChangeAsync(ApiRequest request, BackendPool pool)
    {
        if (await ReadAsync(request, "{\"policy\":\"LeastConnections\"}") is not { } body)
        {
            return;
        }
        await request.Parts.Changes.RunAsync(
            request, AuditAction.Patch, pool.Name, null, () => ChangeAsync(request, pool, Change, _ => Show(request, pool)));

        (PoolSettings?, ChangeOutcome?) Change(PoolSettings from)
        {
            if (Preconditions.FindError(request.Context.Request, from.ToJson()) is { } reason)
            {
                return (null, ChangeOutcome.Refused(Status412PreconditionFailed, reason));
            }
            var (to, error) = from.With(body);
            return (to, to is null ? ChangeOutcome.Refused(Status400BadRequest, error) : null);
        }
    }

    /// <summary>Gives a pool other settings.</summary>
    /// <param name="request">The request that asks for it.</param>
    /// <param name="pool">The pool.</param>
    /// <param name="from">Its settings now; where they are others, nothing is changed.</param>
    /// <param name="to">Its settings after that.</param>
    /// <param name="body">Makes the answer.</param>
    public static Task<ChangeOutcome> ChangeAsync(
        ApiRequest request, BackendPool pool, PoolSettings from, PoolSettings to, Func<AuditEntry, JsonNode> body) =>
        ChangeAsync(
            request, pool,
            now => now == from ? (to, null) : (null, ChangeOutcome.Refused(
                Status409Conflict, $"pool '{pool.Name}' has just got other settings ({now}); nothing was changed")),
            body);

    private static async Task<ChangeOutcome> ChangeAsync(
        ApiRequest request, BackendPool pool, Func<PoolSettings, (PoolSettings? Settings, ChangeOutcome? Refused)> change,
        Func<AuditEntry, JsonNode> body)
    {
        PoolSettings? from = null, to = null;
        var refused = await request.Parts.View.ChangeSettings(pool.Name, now =>
        {
            var changed = change(now);
            (from, to) = (now, changed.Settings);
            return changed;
        });
        if (refused is not null)
        {
            return refused;
        }
        if (to != from)
        {
            request.Parts.Administration.NotePool(pool, to!, request.User);
            request.Parts.Events.Note(pool.Name, $"was changed: {to}");
        }
        return ChangeOutcome.Done(from!.ToJson(), to!.ToJson(), body);
    }

    private static Task ShowAsync(ApiRequest request, Backend backend)
    {
        request.Context.Response.Headers.ETag = Preconditions.TagOf(BackendSettings.Of(backend).ToJson());
        return request.AnswerAsync(request.Parts.Events.Backend(backend));
    }

    private static Task PutAsync(ApiRequest request) => OnPoolAsync(request, pool =>
    {
        var name = FindBackend(pool, request.Names[1])?.Name ?? request.Names[1];
        return ChangeAsync(
            request, AuditAction.Put, pool, name,
            (json, _) => request.Parts.Administration.PutAsync(pool, name, json, request.User));
    });

    private static Task DeleteAsync(ApiRequest request, BackendPool pool, string name) => request.Parts.Changes.RunAsync(
        request, AuditAction.Delete, pool.Name, name, () => ChangeAsync(
            request, pool, name, Status202Accepted,
            now => now is null ? GoneAsync(pool, name) : request.Parts.Administration.DeleteAsync(pool, now, request.User)));

    private static async Task ChangeAsync(
        ApiRequest request, string action, BackendPool pool, string name, Func<JsonElement, Backend?, Task<ChangeResult>> change)
    {
        if (await ReadAsync(request, "{\"adminState\":\"Draining\"}") is { } body)
        {
            await request.Parts.Changes.RunAsync(
                request, action, pool.Name, name, () => ChangeAsync(request, pool, name, Status200OK, now => change(body, now)));
        }
    }

    // The backend is looked up again when it is this change's turn: another change, or a reload, may have replaced it meanwhile.
    private static async Task<ChangeOutcome> ChangeAsync(
        ApiRequest request, BackendPool pool, string name, int status, Func<Backend?, Task<ChangeResult>> change)
    {
        if (!request.Parts.Pools().Contains(pool))
        {
            return ChangeOutcome.Refused(Status409Conflict, $"pool '{pool.Name}' has just been removed or replaced; nothing was changed");
        }
        var before = FindBackend(pool, name);
        var from = before is null ? null : BackendSettings.Of(before).ToJson();
        if (Preconditions.FindError(request.Context.Request, from) is { } reason)
        {
            return ChangeOutcome.Refused(Status412PreconditionFailed, reason);
        }
        var result = await change(before);
        return result.Backend is not { } backend
            ? ChangeOutcome.Refused(result.IsUnavailable ? Status503ServiceUnavailable : Status400BadRequest, result.Error)
            : ChangeOutcome.Done(
                from, IsLeaving(pool, backend, status) ? null : BackendSettings.Of(backend).ToJson(),
                _ => request.Parts.Events.Backend(backend), status);
    }

    // What is deleted drains first. In a cluster, one that a file names is disabled instead, and stays.
    private static bool IsLeaving(BackendPool pool, Backend backend, int status) => status == Status202Accepted
        && !(backend.AdminState == AdminState.Disabled && pool.Snapshot.Members.Contains(backend));

    private static Task<ChangeResult> GoneAsync(BackendPool pool, string name) => Task.FromResult(
        new ChangeResult(null, $"backend '{name}' of pool '{pool.Name}' has just been removed; nothing was changed"));

    // Null where the request was refused.
    private static async Task<JsonElement?> ReadAsync(ApiRequest request, string example)
    {
        if (await request.Parts.Bodies.ReadJsonAsync(request.Context) is { ValueKind: JsonValueKind.Object } body)
        {
            return body;
        }
        await request.RefuseAsync(Status400BadRequest, $"the body is not a JSON object; expected for example {example}");
        return null;
    }

    private static string Names(IEnumerable<string> names) =>
        string.Join(", ", names.Select(name => $"'{name}'").DefaultIfEmpty("(there is none)"));
}
