using System.Collections.Immutable;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Forwarding;

namespace LoadBalancer.Composition;

/// <summary>
/// What operators have set for the backends of all pools, at whichever node of the cluster. Only under the lock for changes of pools. A
/// node without a cluster has none of this.
/// </summary>
internal sealed class SharedPools
{
    private readonly Dictionary<string, ImmutableDictionary<string, JudgedBackend>> _judged; // by pool, in lower case

    private StickyKeyOfCluster? _stickyKey;
    private StickySecret? _secret; // null until a pool needs it

    /// <summary>Begins with what the node knows.</summary>
    public SharedPools(StateCopy known)
    {
        (State, _stickyKey) = (known.State, known.StickyKey);
        _judged = known.Judged.GroupBy(entry => entry.Key.Pool)
            .ToDictionary(pool => pool.Key, pool => pool.ToImmutableDictionary(entry => entry.Key.Backend, entry => entry.Value));
    }

    /// <summary>What operators have set.</summary>
    public SharedState State { get; set; }

    /// <summary>How that was judged against the node's file.</summary>
    public ImmutableDictionary<BackendKey, JudgedBackend> Judged => (
        from pool in _judged
        from backend in pool.Value
        select (Key: BackendKey.Of(pool.Key, backend.Key), backend.Value)).ToImmutableDictionary(entry => entry.Key, entry => entry.Value);

    /// <summary>Called when that has changed.</summary>
    public Action JudgedChanged { get; set; } = () => { };

    /// <summary>The key of the cluster's sticky sessions, or the one that this node would give it; null where no pool needs it.</summary>
    public StickyKeyOfCluster? StickyKey =>
        _secret is null ? null : _stickyKey ?? new StickyKeyOfCluster(Convert.ToBase64String(_secret.Key), null);

    /// <summary>The key of the cluster's sticky sessions, which may change.</summary>
    /// <param name="load">Reads this node's own key, for where the cluster has none.</param>
    public StickySecret StickySecret(Func<byte[]> load) => _secret ??= new StickySecret(_stickyKey?.Bytes ?? load());

    /// <summary>Uses another key.</summary>
    public void Use(StickyKeyOfCluster key)
    {
        _stickyKey = key;
        _secret?.Key = key.Bytes;
    }

    /// <summary>
    /// The pool with the backends that its file and the operators want. Workers that join by themselves are each node's own.
    /// </summary>
    /// <param name="pool">Its name.</param>
    /// <param name="found">Its options, with the members that file, list and names lead to.</param>
    public PoolOptions Members(string pool, PoolOptions found) =>
        found.IsJoined ? found
        : SharedMembers.Of(found, State.Of(pool), JudgedOf(pool)).Options;

    /// <summary>The same, for good: a later change of the file ends what operators have set.</summary>
    public PoolOptions Judge(string pool, PoolOptions found)
    {
        if (found.IsJoined)
        {
            return found;
        }
        var before = JudgedOf(pool);
        var (options, judged) = SharedMembers.Of(found, State.Of(pool), before);
        _judged[BackendKey.Of(pool, "").Pool] = judged;
        if (judged.Count != before.Count || judged.Except(before).Any())
        {
            JudgedChanged();
        }
        return options;
    }

    private ImmutableDictionary<string, JudgedBackend> JudgedOf(string pool) =>
        _judged.GetValueOrDefault(BackendKey.Of(pool, "").Pool) ?? ImmutableDictionary<string, JudgedBackend>.Empty;
}
