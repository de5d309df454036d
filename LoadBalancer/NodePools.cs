using System.Collections.Immutable;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer;

/// <summary>The pools of a node, which come, go and change with its configuration. Changes come one at a time.</summary>
internal sealed class NodePools(NodePoolParts parts, HealthChecker health, HeartbeatService heartbeats) : IDisposable
{
    private volatile ImmutableSortedDictionary<string, NodePool> _pools = ImmutableSortedDictionary.Create<string, NodePool>(StringComparer.OrdinalIgnoreCase);

    /// <summary>Every pool, in the order of their names.</summary>
    public IReadOnlyList<BackendPool> All => [.. _pools.Values.Select(pool => pool.Pool)];

    /// <summary>A pool by name; null where there is none.</summary>
    public BackendPool? Find(string name) => _pools.GetValueOrDefault(name)?.Pool;

    /// <summary>A forwarder for each pool, by name, as the last configuration has it.</summary>
    public IReadOnlyDictionary<string, HttpForwarder> Forwarders => _pools.ToDictionary(entry => entry.Key, entry => entry.Value.Forwarder, StringComparer.OrdinalIgnoreCase);

    /// <summary>Makes the pools be those of the options, which must be valid.</summary>
    public void Apply(IReadOnlyDictionary<string, PoolOptions> options)
    {
        lock (parts.Gate)
        {
            // First what may fail, so that nothing has changed if it does.
            var before = _pools;
            var keys = options.ToDictionary(entry => entry.Key, entry => NodePool.StickyKeyFor(entry.Key, entry.Value, before.GetValueOrDefault(entry.Key), parts), StringComparer.OrdinalIgnoreCase);
            heartbeats.Reserve(options.Where(entry => entry.Value.Heartbeat is not null).Select(entry => (entry.Key, entry.Value.Heartbeat!)));
            foreach (var (name, pool) in options.Where(entry => before.ContainsKey(entry.Key)))
            {
                before[name].Apply(pool, keys[name]);
            }
            _pools = options.ToImmutableSortedDictionary(
                entry => entry.Key, entry => before.GetValueOrDefault(entry.Key) ?? new NodePool(entry.Key, entry.Value, keys[entry.Key], parts), StringComparer.OrdinalIgnoreCase);
            health.Watch([.. _pools.Values.Select(pool => pool.Probed).OfType<ProbedPool>()]);
            heartbeats.Watch([.. _pools.Values.Select(pool => pool.Heartbeats).OfType<HeartbeatPool>()]);
            foreach (var gone in before.Values.Except(_pools.Values))
            {
                gone.Retire();
            }
        }
    }

    /// <summary>Adds or replaces a backend of a pool that there is, until the next <see cref="Apply"/>.</summary>
    /// <returns>The backend; null where the pool is gone.</returns>
    public Backend? Put(BackendPool pool, string name, EndpointAddress address, int weight)
    {
        lock (parts.Gate)
        {
            return _pools.GetValueOrDefault(pool.Name)?.Put(name, address, weight);
        }
    }

    /// <summary>Lets a backend finish what it has in flight, and removes it, until the next <see cref="Apply"/>.</summary>
    public void Delete(BackendPool pool, Backend backend) => _pools.GetValueOrDefault(pool.Name)?.Delete(backend);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var pool in _pools.Values)
        {
            pool.Dispose();
        }
    }
}
