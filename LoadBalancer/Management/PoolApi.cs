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
        new("GET", Backend, request => OnBackendAsync(
            request, (_, backend) => request.AnswerAsync(request.Parts.Events.Backend(backend)))),
        new("PATCH", Backend, request => OnBackendAsync(
            request, (pool, backend) => ChangeAsync(request, json => request.Parts.Administration.Patch(pool, backend, json)))),
        new("PUT", Backend, PutAsync),
        new("DELETE", Backend, request => OnBackendAsync(request, (pool, backend) => DeleteAsync(request, pool, backend))),
    ];

    // Workers may have names that differ in case alone.
    private static Backend? FindBackend(BackendPool pool, string name) =>
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

    private static Task PutAsync(ApiRequest request) => OnPoolAsync(request, pool =>
    {
        var name = FindBackend(pool, request.Names[1])?.Name ?? request.Names[1];
        return ChangeAsync(request, json => request.Parts.Administration.Put(pool, name, json));
    });

    private static Task DeleteAsync(ApiRequest request, BackendPool pool, Backend backend)
    {
        if (request.Parts.Node.IsBeingReplaced)
        {
            return RefuseReplacedAsync(request);
        }
        request.Parts.Administration.Delete(pool, backend);
        return request.AnswerAsync(request.Parts.Events.Backend(backend), Status202Accepted);
    }

    private static async Task ChangeAsync(ApiRequest request, Func<JsonElement, (Backend? Backend, string Error)> change)
    {
        if (request.Parts.Node.IsBeingReplaced)
        {
            await RefuseReplacedAsync(request);
            return;
        }
        if (await request.Parts.Bodies.ReadJsonAsync(request.Context) is not { ValueKind: JsonValueKind.Object } body)
        {
            await request.RefuseAsync(
                Status400BadRequest, "the body is not a JSON object; expected for example {\"adminState\":\"Draining\"}");
            return;
        }
        var (backend, error) = change(body);
        await (backend is null
            ? request.RefuseAsync(Status400BadRequest, error)
            : request.AnswerAsync(request.Parts.Events.Backend(backend)));
    }

    private static Task RefuseReplacedAsync(ApiRequest request) => request.RefuseAsync(
        Status409Conflict, "this process is being replaced, and the change would be lost; try again over a new connection");

    private static string Names(IEnumerable<string> names) =>
        string.Join(", ", names.Select(name => $"'{name}'").DefaultIfEmpty("(there is none)"));
}
