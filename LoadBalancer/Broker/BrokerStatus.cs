namespace LoadBalancer.Broker;

/// <summary>The state of a broker and what it has counted, at one moment.</summary>
/// <param name="Listener">The name of its listener.</param>
/// <param name="Pool">The name of the pool that its workers join.</param>
/// <param name="Role">Main, Alternative, or Asking while it finds out which.</param>
/// <param name="Peer">The other broker's address: for a main, that of the alternative that has reported; null where there is none.</param>
/// <param name="HealthCheckAge">Time since HCHECK was published by a main, or received by an alternative; null where it never was.</param>
/// <param name="AlternativePingAge">Time since the alternative last reported; null where there is none.</param>
/// <param name="Clients">Connected clients.</param>
/// <param name="Workers">Connected workers.</param>
/// <param name="TakeOvers">How often it has taken over.</param>
/// <param name="IsConflict">Whether it is a main and has received another main's HCHECK within <c>PeerTimeout</c>.</param>
/// <param name="Refused">
/// Peers that lost their connections through their own fault, and messages that were out of place: where, why, how many.
/// </param>
public sealed record BrokerStatus(
    string Listener, string Pool, string Role, string? Peer, TimeSpan? HealthCheckAge, TimeSpan? AlternativePingAge,
    int Clients, int Workers, long TakeOvers, bool IsConflict, IReadOnlyList<(string Port, string Reason, long Count)> Refused)
{
    /// <summary>How many peers and messages were refused in all.</summary>
    public long RefusedInAll => Refused.Sum(refused => refused.Count);
}
