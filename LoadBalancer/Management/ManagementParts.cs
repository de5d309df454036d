using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>What the management listener shows and changes.</summary>
/// <param name="Pools">The pools.</param>
/// <param name="Administration">Changes them.</param>
/// <param name="Changes">Through which each change goes.</param>
/// <param name="Events">What they have done lately.</param>
/// <param name="Errors">The errors that clients saw.</param>
/// <param name="Metrics">The metrics, in the format of Prometheus.</param>
/// <param name="Node">The node as a whole.</param>
/// <param name="View">What the node shows of its configuration.</param>
/// <param name="Bodies">Reads bodies.</param>
/// <param name="Cluster">The nodes that act as one with this, with their rates where asked; null where it is in no cluster.</param>
/// <param name="Sharing">The configuration that they share; null where this one does not share it.</param>
/// <param name="Lifetime">Says when the node stops.</param>
internal sealed record ManagementParts(
    Func<IReadOnlyList<BackendPool>> Pools, PoolAdministration Administration, AuditedChanges Changes, EventHub Events,
    ErrorStatistics Errors, Func<string> Metrics, NodeControl Node, NodeView View, BodyReader Bodies, Func<bool, JsonObject>? Cluster,
    SharedConfiguration? Sharing, IHostApplicationLifetime Lifetime);
