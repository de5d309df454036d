using System.Collections.Immutable;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Discovery;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Health.Probes;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// The pools of a node, which come, go and change with its configuration: <see cref="Prepare"/>, <see cref="Commit"/>,
/// <see cref="Retire"/>, under <see cref="Gate"/> from the first to the last.
/// </summary>
internal sealed partial class NodePools(NodePoolParts parts, HealthChecker health, HeartbeatService heartbeats) : IDisposable
{
    private readonly ILogger _logger = parts.Loggers.CreateLogger<NodePools>();
    private readonly CancellationTokenSource _disposed = new();
    private readonly List<NodePool> _draining = []; // retired, but still in use
    private volatile ImmutableSortedDictionary<string, NodePool> _pools =
        ImmutableSortedDictionary.Create<string, NodePool>(StringComparer.OrdinalIgnoreCase);

    /// <summary>Held while pools change: changes come one at a time.</summary>
    public Lock Gate => parts.Gate;

    /// <summary>Every pool, in the order of their names.</summary>
    public IReadOnlyList<BackendPool> All => [.. _pools.Values.Select(pool => pool.Pool)];

    /// <summary>How often names of backends were looked up, by pool.</summary>
    public IReadOnlyList<(string Pool, LookupCounts Counts)> Lookups =>
        [.. _pools.Values.Select(pool => (pool.Pool.Name, pool.Lookups))];

    /// <summary>A pool by name; null where there is none.</summary>
    public BackendPool? Find(string name) => _pools.GetValueOrDefault(name)?.Pool;

    /// <summary>What operators have changed since the file was read.</summary>
    /// <param name="options">The options of the file, and those in use.</param>
    public Differences Compare(OptionsInUse.State options) => Differences.Of(options, _pools.Values);

    /// <summary>Describes every pool for the process that replaces this one.</summary>
    public List<HandedPool> HandOver()
    {
        lock (parts.Gate)
        {
            return [.. _pools.Values.Select(pool => pool.HandOver())];
        }
    }

    /// <summary>Makes the pools of new options, which may fail. Changes nothing yet.</summary>
    /// <param name="options">The options, which must be valid.</param>
    /// <param name="keepsMembers">Whether the members stay as they are: <see cref="PoolState.KeepsMembers"/>.</param>
    /// <exception cref="StartException">A resource cannot be opened; everything that was made is disposed of.</exception>
    public PoolsChange Prepare(IReadOnlyDictionary<string, PoolOptions> options, bool keepsMembers = false)
    {
        var before = _pools;
        var change = new PoolsChange(before);
        try
        {
            change.Heartbeats = heartbeats.Reserve(
                options.Where(entry => entry.Value.Heartbeat is not null).Select(entry => (entry.Key, entry.Value.Heartbeat!)));
            change.Pools = before.RemoveRange(before.Keys.Except(options.Keys, StringComparer.OrdinalIgnoreCase));
            // So that a renamed pool need not wait for its first probes and heartbeats again.
            var known = change.Gone.SelectMany(pool => pool.Pool.Snapshot.Members).DistinctBy(backend => backend.Address)
                .ToDictionary(backend => backend.Address, backend => backend.Health);
            foreach (var (name, pool) in options)
            {
                if (before.TryGetValue(name, out var existing))
                {
                    (IsEmpty(pool) ? change.Emptied : change.Changed).Add((existing, existing.Prepare(pool, keepsMembers)));
                }
                else
                {
                    change.Added.Add(new NodePool(name, pool, parts, address => known.GetValueOrDefault(address)));
                    change.Pools = change.Pools.Add(name, change.Added[^1]);
                }
            }
            return change;
        }
        catch
        {
            change.Dispose();
            throw;
        }
    }

    /// <summary>Publishes the new pools, and the new options of those that stay: one new snapshot for each.</summary>
    public void Commit(PoolsChange change)
    {
        _pools = change.Pools;
        change.Added.ForEach(pool => pool.Start());
        change.Added.Clear();
        CommitAll(change.Changed);
        WatchNeedsLock(change.Heartbeats);
    }

    /// <summary>
    /// Removes what listeners no longer use: the backends of pools without a backend that can serve, and the pools that are gone.
    /// </summary>
    public void Retire(PoolsChange change)
    {
        var gone = change.Gone.ToList();
        _draining.AddRange(gone);
        CommitAll(change.Emptied);
        WatchNeedsLock(change.Heartbeats);
        gone.ForEach(pool => BackgroundTask.Run(DrainAsync(pool), _logger, $"pool '{pool.Pool.Name}': draining"));
    }

    /// <summary>Adds or replaces a backend of an existing pool, until the next change of the configuration.</summary>
    /// <returns>The backend; null where the pool is gone.</returns>
    public Backend? Put(BackendPool pool, string name, EndpointAddress address, int weight, AdminState? state)
    {
        lock (parts.Gate)
        {
            return _pools.GetValueOrDefault(pool.Name)?.Put(name, address, weight, state);
        }
    }

    /// <summary>Lets a backend finish what it has in flight, and removes it, until the next change of the configuration.</summary>
    public void Delete(BackendPool pool, Backend backend) => _pools.GetValueOrDefault(pool.Name)?.Delete(backend);

    /// <summary>Whether the file of the configuration, or what it leads to, names a backend.</summary>
    public bool IsNamed(BackendPool pool, string backend)
    {
        lock (parts.Gate)
        {
            return _pools.GetValueOrDefault(pool.Name)?.IsNamed(backend) == true;
        }
    }

    /// <summary>The keys in files of sticky sessions.</summary>
    public IReadOnlyList<StickyKeyOfCluster> FileKeys => [.. _pools.Values.Select(pool => pool.FileKey).OfType<StickyKeyOfCluster>()];

    /// <summary>Takes up what operators of the cluster have set.</summary>
    public void Share(SharedState state)
    {
        lock (parts.Gate)
        {
            var before = parts.Shared!.State;
            parts.Shared.State = state;
            foreach (var pool in _pools.Values.Where(pool => state.Of(pool.Pool.Name) != before.Of(pool.Pool.Name)))
            {
                try
                {
                    pool.TakeUpShared();
                }
                catch (Exception e)
                {
                    LogNotShared(e, pool.Pool.Name); // The others get what is theirs all the same.
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (parts.Gate)
        {
            _disposed.Cancel();
            foreach (var pool in _pools.Values.Concat(_draining))
            {
                pool.Dispose();
            }
        }
    }

    private static void CommitAll(List<(NodePool Pool, PoolState Next)> changes)
    {
        changes.ForEach(change => change.Pool.Commit(change.Next));
        changes.Clear();
    }

    private static bool IsEmpty(PoolOptions options) =>
        options.Backends.Count > 0 && !options.Backends.Values.Any(backend => backend.AdminState == AdminState.Ready && backend.Weight > 0);

    // A pool that drains is probed as before: requests may still wait for the result, and must not be sent to a backend that is down.
    private void WatchNeedsLock(HeartbeatReservation reservation)
    {
        health.Watch([.. _pools.Values.Concat(_draining).Select(pool => pool.Probed).OfType<ProbedPool>()]);
        heartbeats.Watch([.. _pools.Values.Select(pool => pool.Heartbeats).OfType<HeartbeatPool>()], reservation);
    }

    private async Task DrainAsync(NodePool pool)
    {
        if (await pool.DrainAsync(_disposed.Token))
        {
            lock (parts.Gate)
            {
                _draining.Remove(pool);
                using var none = new HeartbeatReservation();
                WatchNeedsLock(none);
            }
        }
    }

    [LoggerMessage(267, LogLevel.Error,
        "pool '{Pool}': unexpected error while taking up what operators of the cluster have set; the other pools have theirs; "
        + "please report it")]
    private partial void LogNotShared(Exception exception, string pool);
}
