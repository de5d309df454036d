namespace LoadBalancer.Cluster;

/// <summary>What every answer of etcd begins with.</summary>
/// <param name="ClusterId">Which etcd it is. One that was set up anew with the same members and the same token has the same.</param>
/// <param name="Revision">How many changes it has seen. Lower than before: it has lost changes.</param>
internal sealed record EtcdHeader(string ClusterId, long Revision);

/// <summary>A key that is there.</summary>
/// <param name="Key">Its name.</param>
/// <param name="Value">Its value.</param>
/// <param name="Created">The revision that has made it: a number that no later holder of the same key has (a fencing token).</param>
/// <param name="Changed">The revision that has changed it last.</param>
/// <param name="Lease">The lease with which it ends; 0 for none.</param>
internal sealed record EtcdKey(string Key, string Value, long Created, long Changed, long Lease);

/// <summary>Keys as they are at a revision.</summary>
internal sealed record EtcdRange(EtcdHeader Header, IReadOnlyList<EtcdKey> Keys);

/// <summary>How many keys there are below a prefix.</summary>
/// <param name="Header">The header.</param>
/// <param name="Count">How many.</param>
/// <param name="Newest">The latest revision that has changed one of them.</param>
internal sealed record EtcdCount(EtcdHeader Header, long Count, long Newest);

/// <summary>The answer to a transaction.</summary>
/// <param name="Header">The header.</param>
/// <param name="Succeeded">Whether the conditions held, and so the changes were made.</param>
/// <param name="Key">The key that was to be read otherwise; null where it is not there, or nothing was read.</param>
internal sealed record EtcdTransaction(EtcdHeader Header, bool Succeeded, EtcdKey? Key);

/// <summary>A line of a watch.</summary>
/// <param name="Header">The header. Its revision may be 0, which says nothing.</param>
/// <param name="Events">What has changed, in order. Of a deleted key only name and revision are known.</param>
/// <param name="End">Why there is nothing more to come; null where there is.</param>
internal sealed record EtcdChanges(EtcdHeader Header, IReadOnlyList<(EtcdKey Key, bool IsDeleted)> Events, string? End);
