namespace LoadBalancer.Diagnostics;

/// <summary>What a broker is and has counted, at a moment.</summary>
/// <param name="Listener">Its listener.</param>
/// <param name="Pool">Where its workers are.</param>
/// <param name="Role">Main, Alternative, or Asking while it finds out which.</param>
/// <param name="Peer">Where the other one is: for a main, its alternative as it has made itself known; null where there is none.</param>
/// <param name="HealthCheckAge">Since when HCHECK was published by a main, or heard by an alternative; null where it never was.</param>
/// <param name="AlternativePingAge">Since when the alternative was heard; null where there is none.</param>
/// <param name="Clients">Connected clients.</param>
/// <param name="Workers">Connected workers.</param>
/// <param name="TakeOvers">How often it has taken over.</param>
/// <param name="IsConflict">Whether another main was heard in the last seconds while it was one itself.</param>
/// <param name="Refused">Peers that lost their connections through their own fault, and messages that were out of place: where, why, how many.</param>
public sealed record BrokerStatus(
    string Listener, string Pool, string Role, string? Peer, TimeSpan? HealthCheckAge, TimeSpan? AlternativePingAge, int Clients, int Workers, long TakeOvers,
    bool IsConflict, IReadOnlyList<(string Port, string Reason, long Count)> Refused)
{
    /// <summary>How many peers and messages were refused in all.</summary>
    public long RefusedInAll => Refused.Sum(refused => refused.Count);
}
