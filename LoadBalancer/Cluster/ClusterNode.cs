using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Cluster;

/// <summary>
/// This node's part in its cluster: who is there, and whether etcd is. What is known stays known when etcd is gone. Nothing on the path of
/// a request waits for it.
/// </summary>
internal sealed class ClusterNode : IHostedService, IDisposable
{
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(1);

    private readonly ClusterOptions _options;
    private readonly HandedCluster? _handed;
    private readonly Lazy<Task>? _predecessorLeaves;
    private readonly Action<string> _note;
    private readonly ClusterLog _log;
    private readonly ILogger _logger;
    private readonly EtcdConnection _connection;
    private readonly Lease _lease;
    private readonly Membership _membership;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<Task> _loops = [];
    private readonly List<(Func<CancellationToken, Task> Loop, string Activity)> _added = [];
    private long _handedOn; // the lease that another process goes on with
    private int _hasLeft;

    /// <summary>Makes it; nothing is sent yet.</summary>
    /// <param name="options">Its options, which must be valid.</param>
    /// <param name="start">What the process that this one replaces hands over; null for nothing.</param>
    /// <param name="address">Where the management listener is; null where there is none.</param>
    /// <param name="note">Gets what happens, for the dashboard.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">The same for the log.</param>
    /// <exception cref="StartException">A file cannot be used.</exception>
    public ClusterNode(
        ClusterOptions options, ClusterStart? start, Func<string?> address, Action<string> note, TimeProvider time, ILogger logger)
    {
        _handed = start?.Handed is { } handed && handed.IsOf(options.Name, options.NodeName) ? handed : null;
        (_options, _predecessorLeaves, _note, _logger) = (options, start?.PredecessorLeaves, note, logger);
        _log = new ClusterLog(options.Name, logger);
        Clock = SuspensionClock.Of(time);
        try
        {
            _connection = new EtcdConnection(options, time);
        }
        catch (Exception e) when (Tls.PemCertificate.IsFileError(e))
        {
            throw new StartException($"LoadBalancer:Cluster:AuthorityFile '{options.AuthorityFile}' cannot be used: {e.Message}", e);
        }
        Etcd = new EtcdClient(_connection);
        Prefix = PrefixOf(options.Name);
        Keys = new KeyWatch(Etcd, Prefix, options.LeaseTime / 2, Clock, _log);
        _lease = new Lease(Etcd, options.LeaseTime, Clock, _log);
        var since = time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", System.Globalization.CultureInfo.InvariantCulture);
        _membership = new Membership(
            NodesPrefix + options.NodeName, options.NodeName,
            () => new ClusterMember(options.NodeName, address(), BuildInformation.Version, since) { Configuration = Configuration() },
            options.LeaseTime, Etcd, _lease, Keys, Clock, _log);
        _lease.Changed += _membership.Wake;
        Keys.Changed += OnKeysChanged;
    }

    /// <summary>Called with how many nodes there are, this one among them, when that changes.</summary>
    public event Action<int>? CountChanged;

    /// <summary>What this node does with the configuration that the cluster shares; null for nothing.</summary>
    public Func<MemberConfiguration?> Configuration { get; init; } = () => null;

    /// <summary>What all keys of the cluster begin with.</summary>
    public string Prefix { get; }

    /// <summary>What all keys of a cluster begin with.</summary>
    public static string PrefixOf(string cluster) => $"/lb/{cluster}/";

    /// <summary>etcd.</summary>
    public EtcdClient Etcd { get; }

    /// <summary>All keys of the cluster.</summary>
    public KeyWatch Keys { get; }

    /// <summary>The clock of leases.</summary>
    public TimeProvider Clock { get; }

    /// <summary>Whether this node has its name in the cluster now, and knows what all know.</summary>
    public bool IsConnected => _lease.IsSafe && _membership.IsMember && Keys.IsLive;

    /// <summary>Why it is not connected, where it is not.</summary>
    public string WhyNot => _membership.Holder is { } holder ? $"its name is held by {holder}"
        : _lease.Error ?? Keys.Error ?? _membership.Error ?? "etcd has not answered in time";

    /// <summary>The lease of this node at etcd: what is written with it ends when the node does.</summary>
    public long LeaseId => _lease.Id;

    /// <summary>The nodes that were known last, by name.</summary>
    public IReadOnlyList<ClusterMember> Nodes => NodesOf(Keys.Current);

    /// <summary>What the API says: <c>GET /api/cluster</c>.</summary>
    public JsonObject Describe()
    {
        var json = new JsonObject
        {
            ["name"] = _options.Name,
            ["node"] = _options.NodeName,
            ["connected"] = IsConnected,
            ["revision"] = Keys.Current.Revision,
            ["nodes"] = new JsonArray([.. Nodes.Select(node => (node.Name == _options.NodeName ? Own(node) : node).ToJson())]),
            ["mains"] = Mains(),
        };
        if (!json["connected"]!.GetValue<bool>())
        {
            json["reason"] = WhyNot;
        }
        if (_membership.Holder is { } holder)
        {
            json["error"] = $"this node serves outside the cluster, because its name is held by {holder}";
        }
        return json;
    }

    /// <summary>Tells the others soon what this node does with the configuration that the cluster shares.</summary>
    public void TellConfiguration() => _membership.Wake();

    /// <summary>Lets something run from the start until this node leaves.</summary>
    public void Add(Func<CancellationToken, Task> loop, string activity) => _added.Add((loop, activity));

    /// <summary>What the process that replaces this one goes on with.</summary>
    public HandedCluster HandOver()
    {
        _handedOn = _membership.IsMember ? _lease.Id : 0;
        return new HandedCluster { Name = _options.Name, Node = _options.NodeName, Lease = _handedOn };
    }

    /// <summary>Takes its name, and reads what there is. Where etcd does not answer, it goes on trying while the node serves.</summary>
    /// <exception cref="StartException">Another node has the name.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (_handed is { Lease: not 0 and var id })
        {
            _lease.Adopt(id);
        }
        if (_handed is null)
        {
            await _membership.JoinAsync(cancellationToken);
        }
        else
        {
            await _lease.RenewAsync(cancellationToken); // The key is the other process's until that leaves.
        }
        Run(_lease.RunAsync(_stop.Token), "keeping the lease alive");
        Run(Keys.RunAsync(_stop.Token), "watching keys");
        Run(KeepNameAsync(), "keeping the name of this node");
        if (_lease.IsSafe)
        {
            await Keys.Loaded.WaitAsync(Etcd.CallTimeout, Clock, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
        }
        Run(LookAsync(), "looking whether etcd is there");
        _added.ForEach(added => Run(added.Loop(_stop.Token), added.Activity));
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => LeaveAsync(isReplaced: false);

    /// <summary>
    /// Gives the name back at once, so that nobody waits for it; takes two seconds at most. Not where another process goes on with it.
    /// </summary>
    /// <param name="isReplaced">Whether another process has taken this one's place.</param>
    public async Task LeaveAsync(bool isReplaced)
    {
        if (Interlocked.Exchange(ref _hasLeft, 1) == 1)
        {
            return;
        }
        await _stop.CancelAsync();
        await Task.WhenAll(_loops).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        var isOthers = isReplaced && _handedOn == _lease.Id;
        if (!isOthers && IsOwner)
        {
            await _lease.RevokeAsync();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Cancel();
        _lease.Dispose();
        _connection.Dispose();
        _stop.Dispose();
    }

    // Its key says it a moment later, or not at all where etcd is away.
    private ClusterMember Own(ClusterMember member) =>
        _membership.Holder is null ? member with { Configuration = Configuration() } : member;

    private JsonObject Mains()
    {
        var mains = new JsonObject();
        var prefix = Prefix + "main/";
        foreach (var (name, key) in Keys.Current.Keys.Where(entry => entry.Key.StartsWith(prefix, StringComparison.Ordinal)))
        {
            mains[Uri.UnescapeDataString(name[prefix.Length..])] = LeaderLease.NodeOf(key.Value);
        }
        return mains;
    }

    private string NodesPrefix => Prefix + "nodes/";

    // Until the process that this one replaces has left, the lease is its own: it goes on with it where this one cannot start.
    private bool IsOwner => _handed is null || _predecessorLeaves is null or { IsValueCreated: true, Value.IsCompleted: true };

    private async Task KeepNameAsync()
    {
        if (_handed is not null && _predecessorLeaves is { } leaves)
        {
            await leaves.Value.WaitAsync(_stop.Token);
        }
        await _membership.RunAsync(_stop.Token);
    }

    private async Task LookAsync()
    {
        bool? wasConnected = null;
        while (true)
        {
            // Who waits for his name is not connected either: that is said elsewhere.
            if (IsConnected is var isConnected && isConnected != wasConnected && (isConnected || (IsOwner && _membership.Holder is null)))
            {
                wasConnected = isConnected;
                Tell(isConnected);
            }
            await Task.Delay(Look, Clock, _stop.Token);
        }
    }

    private void Tell(bool isConnected)
    {
        if (isConnected)
        {
            var names = string.Join(", ", Nodes.Select(node => $"'{node.Name}'"));
            _log.Connected(names);
            _note($"cluster '{_options.Name}': connected to etcd; nodes: {names}");
        }
        else
        {
            var reason = WhyNot;
            _log.Disconnected(reason);
            _note($"cluster '{_options.Name}': not connected to etcd: {reason}");
        }
    }

    private void OnKeysChanged(KeyChange change)
    {
        var (before, now) = (NodesOf(change.Before), NodesOf(change.Now));
        if (change.Before.Revision > 0)
        {
            foreach (var node in Others(now).ExceptBy(before.Select(other => other.Name), other => other.Name))
            {
                _log.NodeCame(node.Name, node.Address ?? "no management listener");
                _note($"cluster '{_options.Name}': node '{node.Name}' has come");
            }
            foreach (var node in Others(before).ExceptBy(now.Select(other => other.Name), other => other.Name))
            {
                _log.NodeWent(node.Name);
                _note($"cluster '{_options.Name}': node '{node.Name}' has gone");
            }
        }
        var (countBefore, count) = (Others(before).Count() + 1, Others(now).Count() + 1);
        if (countBefore != count)
        {
            CountChanged?.Invoke(count);
        }
        _membership.Wake();
    }

    private IEnumerable<ClusterMember> Others(IEnumerable<ClusterMember> nodes) => nodes.Where(node => node.Name != _options.NodeName);

    private List<ClusterMember> NodesOf(KeySnapshot keys) =>
        [.. keys.Keys.Values.Where(key => key.Key.StartsWith(NodesPrefix, StringComparison.Ordinal))
            .Select(key => ClusterMember.Read(key.Key[NodesPrefix.Length..], key.Value))];

    private void Run(Task loop, string activity)
    {
        _loops.Add(loop);
        BackgroundTask.Run(loop, _logger, $"cluster '{_options.Name}': {activity}");
    }
}

/// <summary>What a process knows of the cluster from the one that it replaces.</summary>
/// <param name="Handed">The place of the node in its cluster; null where that process had none.</param>
/// <param name="PredecessorLeaves">Completes when that process accepts nothing more; null where there is none.</param>
internal sealed record ClusterStart(HandedCluster? Handed, Lazy<Task>? PredecessorLeaves);
