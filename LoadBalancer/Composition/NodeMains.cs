using System.Collections.Concurrent;
using System.Net;
using LoadBalancer.Broker;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Composition;

/// <summary>The leases that decide which node of the cluster is the main of each Broker listener.</summary>
/// <param name="options">The cluster.</param>
/// <param name="cluster">This node's part in it; asked when the first listener starts.</param>
/// <param name="handed">The leases that the process before has held, by listener; null where there was none.</param>
/// <param name="logger">Gets what is unexpected.</param>
internal sealed class NodeMains(
    ClusterOptions options, Func<ClusterNode> cluster, IReadOnlyDictionary<string, long>? handed, ILogger logger) : IDisposable
{
    private readonly ConcurrentDictionary<string, LeaderLease> _leases = new(StringComparer.OrdinalIgnoreCase);
    private readonly ConcurrentBag<LeaderLease> _all = [];
    private readonly ConcurrentDictionary<string, long> _handed = new(
        handed ?? new Dictionary<string, long>(), StringComparer.OrdinalIgnoreCase);

    /// <summary>What the process that replaces this one goes on with, by listener.</summary>
    public Dictionary<string, long> HandOver() => _leases.Select(entry => (entry.Key, Lease: entry.Value.HandOver()))
        .Where(entry => entry.Lease != 0).ToDictionary(entry => entry.Key, entry => entry.Lease);

    /// <summary>The lease of a listener.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="listener">Its options.</param>
    public MainLease For(string name, BrokerListenerOptions listener)
    {
        LeaderLease? lease = null;
        return new MainLease(
            changed =>
            {
                var node = cluster();
                var made = new LeaderLease(
                    node.Etcd, node.Keys, node.Prefix, name, options.NodeName,
                    $"{listener.AdvertisedAddress ?? IPAddress.Parse(listener.Address.Host)}", options.LeaseTime, node.Clock,
                    new ClusterLog(options.Name, logger));
                made.Changed += changed;
                _all.Add(made);
                _leases[name] = made;
                Volatile.Write(ref lease, made);
                made.Start(_handed.TryRemove(name, out var held) ? held : 0); // A listener that comes later begins as any other.
            },
            () => Volatile.Read(ref lease)?.CheckHeld() == true,
            () => Volatile.Read(ref lease)?.YieldAsync() ?? Task.CompletedTask,
            () => Volatile.Read(ref lease)?.ReleaseAsync() ?? Task.CompletedTask,
            () => IPAddress.TryParse(Volatile.Read(ref lease)?.OtherCandidate, out var other) ? other : null,
            () => Volatile.Read(ref lease)?.HandOn());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var lease in _all)
        {
            lease.Dispose();
        }
    }
}
