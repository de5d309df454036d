using System.Diagnostics;
using System.Net;
using LoadBalancer.Broker;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// The leases that decide which node of the cluster is the main of each Broker listener. One that is held goes along where a listener is
/// replaced, by another one of this process or by another process: so the node stays the main.
/// </summary>
/// <param name="options">The cluster.</param>
/// <param name="cluster">This node's part in it; asked when the first listener starts.</param>
/// <param name="handed">What the process before has handed over of this cluster; null for nothing.</param>
/// <param name="logger">Gets what is unexpected.</param>
/// <param name="stopping">Cancelled when no listener comes any more.</param>
internal sealed class NodeMains(
    ClusterOptions options, Func<ClusterNode> cluster, HandedState? handed, ILogger logger, CancellationToken stopping) : IDisposable
{
    private readonly Lock _gate = new(); // guards what follows, and the leases of candidates
    private readonly List<Candidate> _candidates = []; // of listeners that have not ended
    private readonly Dictionary<string, long> _held = // what the next listener of a name goes on with
        new(handed?.Mains ?? new Dictionary<string, long>(), StringComparer.OrdinalIgnoreCase);

    private readonly IReadOnlyList<long> _shared = handed?.Mains is { } mains ? [.. mains.Values] : []; // with the processes before
    private readonly IReadOnlyList<int> _before = handed?.MainProcesses ?? [];

    /// <summary>What the process that replaces this one goes on with, by listener.</summary>
    public Dictionary<string, long> HandOver()
    {
        var held = new Dictionary<string, long>();
        foreach (var candidate in Candidates)
        {
            if (candidate.Lease?.HandOver() is { } lease and not 0)
            {
                held[candidate.Name] = lease;
            }
        }
        return held;
    }

    /// <summary>The processes that may still do work of a main: this one, and those before it.</summary>
    public List<int> Processes => [.. _before.Where(IsRunning), Environment.ProcessId];

    /// <summary>The lease of a listener.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="listener">Its options.</param>
    public MainLease For(string name, BrokerListenerOptions listener)
    {
        var candidate = new Candidate(name, EndAsync);
        lock (_gate)
        {
            _candidates.Add(candidate);
        }
        return new MainLease(
            changed => Begin(candidate, listener, changed),
            () => candidate.Lease?.CheckHeld() == true,
            () => candidate.Lease?.YieldAsync() ?? Task.CompletedTask,
            () => candidate.Ended.Value,
            () => IPAddress.TryParse(candidate.Lease?.OtherCandidate, out var other) ? other : null,
            () => candidate.Lease?.HandOn());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var candidate in Candidates)
        {
            candidate.Lease?.Dispose();
        }
    }

    private List<Candidate> Candidates
    {
        get
        {
            lock (_gate)
            {
                return [.. _candidates];
            }
        }
    }

    private void Begin(Candidate candidate, BrokerListenerOptions listener, Action changed)
    {
        var node = cluster();
        var lease = new LeaderLease(
            node.Etcd, node.Keys, node.Prefix, candidate.Name, options.NodeName,
            $"{listener.AdvertisedAddress ?? IPAddress.Parse(listener.Address.Host)}", options.LeaseTime, node.Clock,
            new ClusterLog(options.Name, logger))
        {
            IsShared = id => _shared.Contains(id) && _before.Any(IsRunning),
        };
        lease.Changed += changed;
        long held;
        lock (_gate)
        {
            candidate.Lease = lease;
            _held.Remove(candidate.Name, out held);
        }
        lease.Start(held);
    }

    private async Task EndAsync(Candidate candidate)
    {
        LeaderLease? lease;
        lock (_gate)
        {
            _candidates.Remove(candidate);
            lease = candidate.Lease;
            if (lease is not null && !stopping.IsCancellationRequested && _candidates.Exists(next => next.IsNextOf(candidate)))
            {
                _held[candidate.Name] = lease.HandOver();
                lease.HandOn();
            }
        }
        await (lease?.ReleaseAsync() ?? Task.CompletedTask);
        lease?.Dispose();
    }

    private static bool IsRunning(int process)
    {
        try
        {
            using var running = Process.GetProcessById(process);
            return !running.HasExited;
        }
        catch (Exception e) when (e is ArgumentException or InvalidOperationException)
        {
            return false;
        }
    }

    // A listener's part in the choice of the main.
    private sealed class Candidate
    {
        private LeaderLease? _lease;

        public Candidate(string name, Func<Candidate, Task> end) => (Name, Ended) = (name, new Lazy<Task>(() => end(this)));

        public string Name { get; }

        // Null until it begins.
        public LeaderLease? Lease
        {
            get => Volatile.Read(ref _lease);
            set => Volatile.Write(ref _lease, value);
        }

        public Lazy<Task> Ended { get; } // It may be wanted more than once.

        // Names that differ in case alone are the same.
        public bool IsNextOf(Candidate other) => Lease is null && Name.Equals(other.Name, StringComparison.OrdinalIgnoreCase);
    }
}
