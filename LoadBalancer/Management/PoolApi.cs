using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Pools;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What can be asked about pools and their backends, and changed of them.</summary>
internal static class PoolApi
{
    private const string Backends = "/api/pools/{pool}/backends";
    private const string Backend = Backends + "/{backend}";

    /// <summary>All of it.</summary>
    public static IReadOnlyList<ApiEndpoint> Endpoints { get; } =
    [
        new("GET", "/api/pools", request => request.AnswerAsync(new JsonObject { ["pools"] = request.Parts.Events.Pools() })),
        new("GET", Backends, ListAsync),
        new("GET", Backend, request => OnBackendAsync(request, (_, backend) => ShowAsync(request, backend))),
        new("PATCH", Backend, request => OnBackendAsync(request, (pool, backend) => ChangeAsync(
            request, AuditAction.Patch, pool, backend.Name,
            json => request.Parts.Administration.Patch(pool, backend, json, request.User)))),
        new("PUT", Backend, PutAsync),
        new("DELETE", Backend, request => OnBackendAsync(request, (pool, backend) => DeleteAsync(request, pool, backend))),
    ];

    /// <summary>A backend by name; null where there is none. Workers may have names that differ in case alone.</summary>
    public static Backend? FindBackend(BackendPool pool, string name) =>
        pool.Snapshot.Members.FirstOrDefault(member => member.Name == name)
        ?? pool.Snapshot.Members.FirstOrDefault(member => member.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    private static Task OnPoolAsync(ApiRequest request, Func<BackendPool, Task> answer)
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
        request.AnswerAsync(new JsonArray([.. pool.Snapshot.Members.Select(request.Parts.Events.Backend)])));

    private static Task ShowAsync(ApiRequest request, Backend backend)
    {
        request.Context.Response.Headers.ETag = Preconditions.TagOf(BackendSettings.Of(backend).ToJson());
        return request.AnswerAsync(request.Parts.Events.Backend(backend));
    }

    private static Task PutAsync(ApiRequest request) => OnPoolAsync(request, pool =>
    {
        var name = FindBackend(pool, request.Names[1])?.Name ?? request.Names[1];
        return ChangeAsync(
            request, AuditAction.Put, pool, name, json => request.Parts.Administration.Put(pool, name, json, request.User));
    });

    private static Task DeleteAsync(ApiRequest request, BackendPool pool, Backend backend) => request.Parts.Changes.RunAsync(
        request, AuditAction.Delete, pool.Name, backend.Name, () =>
        {
            var from = BackendSettings.Of(backend).ToJson();
            if (Preconditions.FindError(request.Context.Request, from) is { } reason)
            {
                return Task.FromResult(ChangeOutcome.Refused(Status412PreconditionFailed, reason));
            }
            request.Parts.Administration.Delete(pool, backend, request.User);
            return Task.FromResult(ChangeOutcome.Done(from, null, _ => request.Parts.Events.Backend(backend), Status202Accepted));
        });

    private static async Task ChangeAsync(
        ApiRequest request, string action, BackendPool pool, string name, Func<JsonElement, (Backend? Backend, string Error)> change)
    {
        if (await request.Parts.Bodies.ReadJsonAsync(request.Context) is not { ValueKind: JsonValueKind.Object } body)
        {
            await request.RefuseAsync(
                Status400BadRequest, "the body is not a JSON object; expected for example {\"adminState\":\"Draining\"}");
            return;
        }
        await request.Parts.Changes.RunAsync(request, action, pool.Name, name, () => Task.FromResult(Change()));

        ChangeOutcome Change()
        {
            var from = FindBackend(pool, name) is { } before ? BackendSettings.Of(before).ToJson() : null;
            if (Preconditions.FindError(request.Context.Request, from) is { } reason)
            {
                return ChangeOutcome.Refused(Status412PreconditionFailed, reason);
            }
            var (backend, error) = change(body);
            return backend is null ? ChangeOutcome.Refused(Status400BadRequest, error)
                : ChangeOutcome.Done(from, BackendSettings.Of(backend).ToJson(), _ => request.Parts.Events.Backend(backend));
        }
    }

    private static string Names(IEnumerable<string> names) =>
        string.Join(", ", names.Select(name => $"'{name}'").DefaultIfEmpty("(there is none)"));
}
