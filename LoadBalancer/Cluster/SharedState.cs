using System.Collections.Immutable;

namespace LoadBalancer.Cluster;

/// <summary>
/// What operators have set for all backends, at whichever node. A value: <see cref="Merge(SharedState)"/> of any changes in any order, some
/// of them perhaps twice, makes the same state, so that all nodes end alike whatever each has missed, and after etcd was restored.
/// </summary>
internal sealed class SharedState
{
    private static readonly ImmutableSortedDictionary<string, SharedBackend> NoBackends =
        ImmutableSortedDictionary.Create<string, SharedBackend>(StringComparer.Ordinal);

    private readonly ImmutableSortedDictionary<string, ImmutableSortedDictionary<string, SharedBackend>> _pools;

    private SharedState(ImmutableSortedDictionary<string, ImmutableSortedDictionary<string, SharedBackend>> pools) => _pools = pools;

    /// <summary>Nobody has set anything.</summary>
    public static SharedState Empty { get; } =
        new(ImmutableSortedDictionary.Create<string, ImmutableSortedDictionary<string, SharedBackend>>(StringComparer.Ordinal));

    /// <summary>Everything that was set.</summary>
    public IEnumerable<(BackendKey Key, SharedBackend Backend)> All =>
        from pool in _pools
        from backend in pool.Value
        select (BackendKey.Of(pool.Key, backend.Key), backend.Value);

    /// <summary>
    /// What was set for the backends of a pool, by <see cref="BackendKey.Backend"/>; the same object as long as it is the same.
    /// </summary>
    public IReadOnlyDictionary<string, SharedBackend> Of(string pool) =>
        _pools.GetValueOrDefault(BackendKey.Of(pool, "").Pool) ?? NoBackends;

    /// <summary>What was set for a backend.</summary>
    public SharedBackend Find(BackendKey key) => _pools.GetValueOrDefault(key.Pool)?.GetValueOrDefault(key.Backend) ?? SharedBackend.None;

    /// <summary>The state with what was set for one backend merged into it; this one where that changes nothing.</summary>
    public SharedState Merge(BackendKey key, SharedBackend backend)
    {
        var before = Find(key);
        var merged = before.Merge(backend);
        return merged == before ? this : Set(key, merged);
    }

    /// <summary>What holds of both.</summary>
    public SharedState Merge(SharedState other) => other.All.Aggregate(this, (state, entry) => state.Merge(entry.Key, entry.Backend));

    /// <summary>The state without what one of a backend's two keys says: somebody has deleted that key.</summary>
    public SharedState Without(BackendKey key, SharedPart part)
    {
        var (before, left) = (Find(key), Find(key).Without(part));
        return left == before ? this : Set(key, left);
    }

    private SharedState Set(BackendKey key, SharedBackend backend)
    {
        var backends = _pools.GetValueOrDefault(key.Pool) ?? NoBackends;
        backends = backend == SharedBackend.None ? backends.Remove(key.Backend) : backends.SetItem(key.Backend, backend);
        return new SharedState(backends.IsEmpty ? _pools.Remove(key.Pool) : _pools.SetItem(key.Pool, backends));
    }
}
