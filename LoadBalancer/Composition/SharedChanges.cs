using LoadBalancer.Cluster;
using LoadBalancer.Management;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Composition;

/// <summary>
/// Carries out changes at all nodes of the cluster. Workers that join a pool by themselves are each node's own: there it is this one alone.
/// </summary>
internal sealed class SharedChanges(SharedKeeper keeper, NodePools pools, LocalChanges local) : IPoolChanges
{
    /// <inheritdoc/>
    public bool CanClear(BackendPool pool) => !pool.IsJoinedByWorkers;

    /// <inheritdoc/>
    public Task<ChangeResult> PatchAsync(BackendPool pool, Backend backend, BackendPatch patch) => pool.IsJoinedByWorkers
        ? local.PatchAsync(pool, backend, patch)
        : ChangeAsync(
            pool, backend.Name,
            new OperatorChange.Patch(patch.SetsAdminState, patch.AdminState, patch.SetsWeight, patch.Weight), backend);

    /// <inheritdoc/>
    public Task<ChangeResult> PutAsync(BackendPool pool, string name, EndpointAddress address, int weight)
    {
        var existing = PoolApi.FindBackend(pool, name);
        var state = existing?.Address == address && existing.AdminState != AdminState.Draining ? existing.AdminState : AdminState.Ready;
        return ChangeAsync(pool, name, new OperatorChange.Put(new AddedBackend(name, address, weight, state)), null);
    }

    /// <inheritdoc/>
    public Task<ChangeResult> DeleteAsync(BackendPool pool, Backend backend) => pool.IsJoinedByWorkers
        ? local.DeleteAsync(pool, backend)
        : ChangeAsync(
            pool, backend.Name,
            // Other nodes whose file names it would have it back, and this one after its next start.
            pools.IsNamed(pool, backend.Name)
                ? new OperatorChange.Patch(true, AdminState.Disabled, false, null) : new OperatorChange.Delete(),
            backend);

    /// <inheritdoc/>
    public Task<ChangeResult> RestoreAsync(BackendPool pool, string name, EndpointAddress address, int weight, AdminState state) =>
        pool.IsJoinedByWorkers ? local.RestoreAsync(pool, name, address, weight, state)
        : PoolApi.FindBackend(pool, name) is { } existing && existing.Address == address
            ? ChangeAsync(pool, name, new OperatorChange.Patch(true, state, true, weight), existing)
            : ChangeAsync(pool, name, new OperatorChange.Put(new AddedBackend(name, address, weight, state)), null);

    private async Task<ChangeResult> ChangeAsync(BackendPool pool, string name, OperatorChange change, Backend? before)
    {
        if (await keeper.ChangeAsync(BackendKey.Of(pool.Name, name), change) is { } error)
        {
            return new ChangeResult(null, error, IsUnavailable: true);
        }
        return (PoolApi.FindBackend(pool, name) ?? before) is { } backend
            ? new ChangeResult(backend, "")
            : new ChangeResult(
                null, $"the cluster has the change, but pool '{pool.Name}' of this node has no backend '{name}' now: see its log",
                IsUnavailable: true);
    }
}
