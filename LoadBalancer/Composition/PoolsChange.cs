using System.Collections.Immutable;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Pools;

namespace LoadBalancer.Composition;

/// <summary>
/// The pools of a new configuration, ready to be published; see <see cref="NodePools.Prepare"/>. Disposing it disposes of all parts
/// that were not published.
/// </summary>
internal sealed class PoolsChange : IDisposable
{
    private readonly ImmutableSortedDictionary<string, NodePool> _before;

    /// <summary>Begins with the present pools.</summary>
    public PoolsChange(ImmutableSortedDictionary<string, NodePool> before) => (_before, Pools) = (before, before);

    /// <summary>Every pool after the change, by name.</summary>
    public ImmutableSortedDictionary<string, NodePool> Pools { get; set; }

    /// <summary>The new pools. Empty after they were published, like the other two lists.</summary>
    public List<NodePool> Added { get; } = [];

    /// <summary>The pools that stay, with their next state.</summary>
    public List<(NodePool Pool, PoolState Next)> Changed { get; } = [];

    /// <summary>The pools that stay, but without a backend that can serve.</summary>
    public List<(NodePool Pool, PoolState Next)> Emptied { get; } = [];

    /// <summary>The pools that go: the new configuration does not have them, and no listener uses them.</summary>
    public IEnumerable<NodePool> Gone => _before.Values.Except(Pools.Values);

    /// <summary>Where the heartbeats of the pools will arrive.</summary>
    public HeartbeatReservation Heartbeats { get; set; } = new();

    /// <summary>A pool by name, after the change.</summary>
    public BackendPool Find(string name) => Pools[name].Pool;

    /// <summary>A forwarder for each pool, by name.</summary>
    public IReadOnlyDictionary<string, HttpForwarder> Forwarders()
    {
        var next = Changed.Concat(Emptied).ToDictionary(change => change.Pool, change => change.Next.Forwarder);
        return Pools.ToDictionary(
            entry => entry.Key, entry => next.GetValueOrDefault(entry.Value) ?? entry.Value.Forwarder, StringComparer.OrdinalIgnoreCase);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Heartbeats.Dispose();
        Added.ForEach(pool => pool.Dispose());
        Changed.Concat(Emptied).ToList().ForEach(change => change.Pool.Discard(change.Next));
    }
}
