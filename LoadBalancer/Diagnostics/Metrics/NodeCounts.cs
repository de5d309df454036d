using LoadBalancer.Broker;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tasks;

namespace LoadBalancer.Diagnostics.Metrics;

/// <summary>What the node counts beside its pools, at one moment.</summary>
/// <param name="ReloadsApplied">Configurations that were applied while the node ran.</param>
/// <param name="ReloadsRefused">Configurations that were invalid.</param>
/// <param name="AccessLogLinesLost">Lines that were not written to the access logs.</param>
/// <param name="ConnectionsRefused">By listener: connections that were closed because there were too many.</param>
public sealed record NodeCounts(
    long ReloadsApplied, long ReloadsRefused, long AccessLogLinesLost, IReadOnlyList<(string Listener, long Count)> ConnectionsRefused)
{
    /// <summary>
    /// Requests that guards have rejected, by listener, route and reason; the route is empty where no route took the request.
    /// </summary>
    public IReadOnlyList<(string Listener, string Route, string Reason, long Count)> Rejected { get; init; } = [];

    /// <summary>What was answered to the requests of each route, of the listeners that have routes.</summary>
    public IReadOnlyList<RouteStatistics> Routes { get; init; } = [];

    /// <summary>Copies of requests that routes have sent to other pools, by route and result.</summary>
    public IReadOnlyList<(string Route, string Result, long Count)> Mirrored { get; init; } = [];

    /// <summary>Datagrams that arrived as heartbeats, by pool.</summary>
    public IReadOnlyList<(string Pool, HeartbeatStatistics Statistics)> Heartbeats { get; init; } = [];

    /// <summary>How often names of backends were looked up, by pool and result.</summary>
    public IReadOnlyList<(string Pool, Enum Result, long Count)> Lookups { get; init; } = [];

    /// <summary>The brokers.</summary>
    public IReadOnlyList<BrokerStatus> Brokers { get; init; } = [];

    /// <summary>What has become of tasks, by pool.</summary>
    public IReadOnlyList<TaskCounts> Tasks { get; init; } = [];

    /// <summary>Whether the node is connected to its cluster; null where it is in none.</summary>
    public bool? IsConnectedToCluster { get; init; }

    /// <summary>The certificates of the listeners.</summary>
    public IReadOnlyList<CertificateStatus> Certificates { get; init; } = [];

    /// <summary>
    /// Tokens for the management listener that were wrong, and that were not looked at after several wrong ones; null without the listener.
    /// </summary>
    public (long Wrong, long Paused)? WrongTokens { get; init; }
}
