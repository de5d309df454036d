using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;

namespace LoadBalancer.Composition;

/// <summary>Shares with the other nodes of the cluster what operators set, and keeps a copy on disk for a start without etcd.</summary>
internal sealed partial class NodeSharing : IHostedService, IDisposable
{
    private readonly ClusterOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly StateFile _file;
    private readonly StateCopy _known;
    private ClusterNode _cluster = null!;
    private SharedKeeper _keeper = null!; // until Follow

    /// <summary>Reads what the node knows; nothing is sent yet.</summary>
    /// <param name="options">The cluster.</param>
    /// <param name="handed">What the process that this one replaces knew; null where there was none.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets what happens.</param>
    public NodeSharing(ClusterOptions options, string? handed, TimeProvider time, ILogger logger)
    {
        (_options, _time, _logger) = (options, time, logger);
        _file = new StateFile(options.StateDirectory, options.Name, options.NodeName);
        _known = Read(handed) ?? ReadFile() ?? StateCopy.Empty;
        Pools = new SharedPools(_known);
    }

    /// <summary>What pools begin with.</summary>
    public SharedPools Pools { get; }

    /// <summary>Takes up from now on what other nodes change.</summary>
    /// <param name="cluster">This node's part in the cluster, not started yet.</param>
    /// <param name="pools">The pools of this node.</param>
    public void Follow(ClusterNode cluster, NodePools pools)
    {
        _cluster = cluster;
        _keeper = new SharedKeeper(cluster.Etcd, _options.Name, _options.NodeName, _known, _file, _time, _logger)
        {
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
        cluster.Keys.Changed += _keeper.TakeUp;
    }

    /// <summary>Carries out what operators want, at all nodes.</summary>
    public IPoolChanges Changes(NodePools pools, LocalChanges local) => new SharedChanges(_keeper, pools, local);

    /// <summary>What the process that replaces this one begins with.</summary>
    public string HandOver() => JsonText.Of(_keeper.Copy().ToJson());

    /// <summary>Begins; the cluster was started before, and has waited for etcd.</summary>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (!_cluster.Keys.Loaded.IsCompleted)
        {
            if (_known == StateCopy.Empty)
            {
                LogNoCopy();
            }
            else
            {
                LogFromCopy(_file.Path ?? "that of the process before", _known.Revision);
            }
        }
        _keeper.Save(); // The pools were judged before: that is to be known at the next start.
        _keeper.Start();
        return Task.CompletedTask;
    }

    /// <summary>Writes the copy on disk for the last time.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => _keeper.StopAsync();

    /// <inheritdoc/>
    public void Dispose() => _keeper?.Dispose();

    private StateCopy? Read(string? handed)
    {
        try
        {
            return handed is not null && JsonNode.Parse(handed) is JsonObject json ? StateCopy.Read(json) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or ArgumentException)
        {
            LogUnusable("what the process before has handed over", e.Message);
            return null;
        }
    }

    private StateCopy? ReadFile()
    {
        try
        {
            return _file.Read();
        }
        catch (IOException e)
        {
            LogUnusable($"the copy on disk '{_file.Path}'", e.Message);
            return null;
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
