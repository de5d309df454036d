using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>Carries out changes at this node alone.</summary>
/// <param name="put">
/// Adds or replaces a backend of a pool, with an admin state where one is given; null where the pool is gone.
/// </param>
/// <param name="delete">Drains a backend, and removes it.</param>
internal sealed class LocalChanges(
    Func<BackendPool, string, EndpointAddress, int, AdminState?, Backend?> put, Action<BackendPool, Backend> delete) : IPoolChanges
{
    /// <inheritdoc/>
    public bool CanClear(BackendPool pool) => false;

    /// <inheritdoc/>
    public Task<ChangeResult> PatchAsync(BackendPool pool, Backend backend, BackendPatch patch)
    {
        pool.Change(() =>
        {
            backend.AdminState = patch.AdminState ?? backend.AdminState;
            backend.Weight = patch.Weight ?? backend.Weight;
        });
        return Task.FromResult(new ChangeResult(backend, ""));
    }

    /// <inheritdoc/>
    public Task<ChangeResult> PutAsync(BackendPool pool, string name, EndpointAddress address, int weight) =>
        Task.FromResult(Put(pool, name, address, weight, null));

    /// <inheritdoc/>
    public Task<ChangeResult> DeleteAsync(BackendPool pool, Backend backend)
    {
        delete(pool, backend);
        return Task.FromResult(new ChangeResult(backend, ""));
    }

    /// <inheritdoc/>
    public Task<ChangeResult> RestoreAsync(BackendPool pool, string name, EndpointAddress address, int weight, AdminState state) =>
        Task.FromResult(Put(pool, name, address, weight, state));

    private ChangeResult Put(BackendPool pool, string name, EndpointAddress address, int weight, AdminState? state) =>
        put(pool, name, address, weight, state) is { } backend ? new ChangeResult(backend, "")
            : new ChangeResult(null, $"pool '{pool.Name}' has just been removed");
}
