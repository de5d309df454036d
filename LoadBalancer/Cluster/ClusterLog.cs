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

    /// <summary>Changes are not heard of.</summary>
    public void WatchIsLost(string reason) => LogWatchIsLost(cluster, reason);

    /// <summary>Changes are heard of again.</summary>
    public void WatchIsBack() => LogWatchIsBack(cluster);

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

    [LoggerMessage(244, LogLevel.Warning, "cluster '{Cluster}': changes are not heard of, and keys will be read anew: {Reason}")]
    private partial void LogWatchIsLost(string cluster, string reason);

    [LoggerMessage(245, LogLevel.Information, "cluster '{Cluster}': changes are heard of again")]
    private partial void LogWatchIsBack(string cluster);
}
