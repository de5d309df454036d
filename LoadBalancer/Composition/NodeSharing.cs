using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;

namespace LoadBalancer.Composition;

/// <summary>Shares with the other nodes of the cluster what operators set, and keeps a copy on disk for a start without etcd.</summary>
internal sealed partial class NodeSharing : IHostedService, IDisposable
{
    private readonly ClusterOptions _options;
    private readonly KnownState _known;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopped = new(); // needs no Dispose: it has no timer
    private ClusterNode _cluster = null!;
    private SharedKeeper _keeper = null!; // until Follow
    private NodeConfiguration? _configuration; // null where it is not shared
    private volatile Task _taken = Task.CompletedTask;

    /// <summary>Makes it; nothing is sent yet.</summary>
    /// <param name="options">The cluster.</param>
    /// <param name="known">What the node knows.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets what happens.</param>
    public NodeSharing(ClusterOptions options, KnownState known, TimeProvider time, ILogger logger)
    {
        (_options, _known, _time, _logger) = (options, known, time, logger);
        foreach (var (what, reason) in known.Troubles)
        {
            LogUnusable(what, reason);
        }
        Pools = new SharedPools(known.Copy);
    }

    /// <summary>What pools begin with.</summary>
    public SharedPools Pools { get; }

    /// <summary>Completes when what the watch has learned until now was taken up.</summary>
    public Task TakenUp => _taken;

    /// <summary>Takes up from now on what other nodes change.</summary>
    /// <param name="cluster">This node's part in the cluster, not started yet.</param>
    /// <param name="pools">The pools of this node.</param>
    /// <param name="configuration">Follows the shared configuration already; null where that is not shared.</param>
    public void Follow(ClusterNode cluster, NodePools pools, NodeConfiguration? configuration)
    {
        (_cluster, _configuration) = (cluster, configuration);
        _keeper = new SharedKeeper(cluster.Etcd, _options.Name, _options.NodeName, _known.Copy, _known.File, _time, _logger)
        {
            Configuration = () => configuration?.Copy,
            WhyNot = () => cluster.IsConnected ? null : $"this node is not connected to etcd ({cluster.WhyNot})",
            Share = pools.Share,
            Judged = () =>
            {
                lock (pools.Gate)
                {
                    return Pools.Judged;
                }
            },
            OwnStickyKey = () =>
            {
                lock (pools.Gate)
                {
                    return Pools.StickyKey;
                }
            },
            FileKeys = () => pools.FileKeys,
            UseStickyKey = key =>
            {
                lock (pools.Gate)
                {
                    Pools.Use(key);
                }
            },
        };
        Pools.JudgedChanged = _keeper.Save;
        cluster.Keys.Changed += TakeUp;
    }

    /// <summary>The configuration in use has changed: the copy on disk is written.</summary>
    public void Save() => _keeper?.Save();

    /// <summary>Carries out what operators want, at all nodes.</summary>
    public IPoolChanges Changes(NodePools pools, LocalChanges local) => new SharedChanges(_keeper, pools, local);

    /// <summary>What the process that replaces this one begins with.</summary>
    public string HandOver() => JsonText.Of(_keeper.Copy().ToJson());

    /// <summary>Begins; the cluster was started before, and has waited for etcd.</summary>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (!_cluster.Keys.Loaded.IsCompleted)
        {
            if (_known.Copy == StateCopy.Empty)
            {
                LogNoCopy();
            }
            else
            {
                LogFromCopy(_known.File.Path ?? "that of the process before", _known.Copy.Revision);
            }
        }
        _keeper.Save(); // The pools were judged before: that is to be known at the next start.
        _keeper.Start();
        _configuration?.Start();
        return Task.CompletedTask;
    }

    /// <summary>Writes the copy on disk for the last time.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopped.CancelAsync();
        await (_configuration?.StopAsync() ?? Task.CompletedTask);
        await _keeper.StopAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stopped.Cancel();
        _configuration?.Dispose();
        _keeper?.Dispose();
    }

    // What operators have set after a configuration was pushed must be judged against that one.
    private void TakeUp(KeyChange change)
    {
        var applied = _configuration?.AppliedSoon ?? Task.CompletedTask;
        if (_taken.IsCompleted && applied.IsCompleted)
        {
            _keeper.TakeUp(change);
            return;
        }
        _taken = TakeUpAsync(_taken, applied, change);
        BackgroundTask.Run(_taken, _logger, "cluster: taking up what operators have set");
    }

    private async Task TakeUpAsync(Task before, Task applied, KeyChange change)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await applied.WaitAsync(_stopped.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!_stopped.IsCancellationRequested)
        {
            _keeper.TakeUp(change);
        }
    }

    [LoggerMessage(262, LogLevel.Warning, "cluster: {What} cannot be used, and this node starts without it: {Reason}")]
    private partial void LogUnusable(string what, string reason);

    [LoggerMessage(263, LogLevel.Warning,
        "cluster: etcd does not answer; this node starts with what its copy on disk says ({File}, revision {Revision}), and catches up "
        + "later")]
    private partial void LogFromCopy(string file, long revision);

    [LoggerMessage(264, LogLevel.Warning,
        "cluster: etcd does not answer, and this node has no copy on disk; it starts as its configuration says, and catches up later")]
    private partial void LogNoCopy();
}
