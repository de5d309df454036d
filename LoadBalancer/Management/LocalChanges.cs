using System.Globalization;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>Carries out changes at this node alone.</summary>
/// <param name="put">Adds or replaces a backend of a pool; null where the pool is gone.</param>
/// <param name="delete">Drains a backend, and removes it.</param>
/// <param name="logger">Gets a line for each change.</param>
internal sealed partial class LocalChanges(
    Func<BackendPool, string, EndpointAddress, int, Backend?> put, Action<BackendPool, Backend> delete, ILogger<PoolAdministration> logger)
    : IPoolChanges
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
        LogChanged(pool.Name, backend.Name, string.Create(CultureInfo.InvariantCulture, $"{backend.AdminState}, weight {backend.Weight}"));
        return Task.FromResult(new ChangeResult(backend, ""));
    }

    /// <inheritdoc/>
    public Task<ChangeResult> PutAsync(BackendPool pool, string name, EndpointAddress address, int weight)
    {
        if (put(pool, name, address, weight) is not { } backend)
        {
            return Task.FromResult(new ChangeResult(null, $"pool '{pool.Name}' has just been removed"));
        }
        LogChanged(pool.Name, name, string.Create(CultureInfo.InvariantCulture, $"{address}, weight {weight}"));
        return Task.FromResult(new ChangeResult(backend, ""));
    }

    /// <inheritdoc/>
    public Task<ChangeResult> DeleteAsync(BackendPool pool, Backend backend)
    {
        delete(pool, backend);
        LogChanged(pool.Name, backend.Name, "draining, then removed");
        return Task.FromResult(new ChangeResult(backend, ""));
    }

    [LoggerMessage(70, LogLevel.Information, "pool '{Pool}': backend '{Backend}' was changed by an operator: {What}")]
    private partial void LogChanged(string pool, string backend, string what);
}
