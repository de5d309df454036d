namespace LoadBalancer.Cluster;

/// <summary>What the parts of the cluster log: each line names it.</summary>
/// <param name="cluster">The cluster's name.</param>
/// <param name="logger">Gets the lines.</param>
internal sealed partial class ClusterLog(string cluster, ILogger logger)
{
    /// <summary>A loop goes on after an error that was not expected.</summary>
    public void Unexpected(Exception exception, string activity) => LogUnexpected(exception, cluster, activity);

    /// <summary>The lease has ended at etcd.</summary>
    public void LeaseEnded() => LogLeaseEnded(cluster);

    /// <summary>The lease could not be given back.</summary>
    public void NotRevoked(double seconds, string reason) => LogNotRevoked(cluster, seconds, reason);

    /// <summary>etcd has lost changes.</summary>
    public void Restored(long known, long found) => LogRestored(cluster, known, found);

    /// <summary>A watch says nothing, although there is something to say.</summary>
    public void WatchIsDeaf(string endpoint) => LogWatchIsDeaf(cluster, endpoint);

    /// <summary>The name of this node is held by something that may be its own former process.</summary>
    public void WaitsForName(string holder, double seconds) => LogWaitsForName(cluster, holder, seconds);

    /// <summary>The name of this node is another one's.</summary>
    public void NameIsTaken(string holder) => LogNameIsTaken(cluster, holder);

    /// <summary>This node has its name in the cluster.</summary>
    public void Joined(string node) => LogJoined(cluster, node);

    /// <summary>This node knows what all know.</summary>
    public void Connected(string nodes) => LogConnected(cluster, nodes);

    /// <summary>This node is on its own.</summary>
    public void Disconnected(string reason) => LogDisconnected(cluster, reason);

    /// <summary>Another node has come.</summary>
    public void NodeCame(string node, string address) => LogNodeCame(cluster, node, address);

    /// <summary>Another node has gone.</summary>
    public void NodeWent(string node) => LogNodeWent(cluster, node);

    [LoggerMessage(240, LogLevel.Error, "cluster '{Cluster}': {Activity} goes on after an unexpected error; please report it")]
    private partial void LogUnexpected(Exception exception, string cluster, string activity);

    [LoggerMessage(241, LogLevel.Warning, "cluster '{Cluster}': the lease of this node has ended at etcd; another one is taken")]
    private partial void LogLeaseEnded(string cluster);

    [LoggerMessage(242, LogLevel.Warning,
        "cluster '{Cluster}': the keys of this node cannot be given back, and stay for up to {Seconds} s: {Reason}")]
    private partial void LogNotRevoked(string cluster, double seconds, string reason);

    [LoggerMessage(243, LogLevel.Warning,
        "cluster '{Cluster}': etcd has lost changes, or is another one: it is at revision {Found}, and this node knows revision {Known}")]
    private partial void LogRestored(string cluster, long known, long found);

    [LoggerMessage(244, LogLevel.Warning,
        "cluster '{Cluster}': the watch at {Endpoint} says nothing, although keys have changed; they are read anew")]
    private partial void LogWatchIsDeaf(string cluster, string endpoint);

    [LoggerMessage(245, LogLevel.Information,
        "cluster '{Cluster}': the name of this node is still held by {Holder}; waits up to {Seconds} s for its end")]
    private partial void LogWaitsForName(string cluster, string holder, double seconds);

    [LoggerMessage(246, LogLevel.Error,
        "cluster '{Cluster}': this node serves outside the cluster, because its name is held by {Holder}; stop one of the two, or give it "
        + "another LoadBalancer:Cluster:Node")]
    private partial void LogNameIsTaken(string cluster, string holder);

    [LoggerMessage(247, LogLevel.Information, "cluster '{Cluster}': this node is in it as '{Node}'")]
    private partial void LogJoined(string cluster, string node);

    [LoggerMessage(248, LogLevel.Information, "cluster '{Cluster}': connected to etcd; nodes: {Nodes}")]
    private partial void LogConnected(string cluster, string nodes);

    [LoggerMessage(249, LogLevel.Warning,
        "cluster '{Cluster}': not connected to etcd; this node goes on with what it knows: {Reason}")]
    private partial void LogDisconnected(string cluster, string reason);

    [LoggerMessage(250, LogLevel.Information, "cluster '{Cluster}': node '{Node}' has come ({Address})")]
    private partial void LogNodeCame(string cluster, string node, string address);

    [LoggerMessage(251, LogLevel.Information, "cluster '{Cluster}': node '{Node}' has gone")]
    private partial void LogNodeWent(string cluster, string node);
}
