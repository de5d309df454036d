namespace LoadBalancer.Discovery;

/// <summary>What a name leads to.</summary>
/// <param name="Servers">The servers, in the order of the answer. None only where SRV records say that there is no such service.</param>
/// <param name="Ttl">How long that may be kept; null where it is not known.</param>
internal sealed record LookupAnswer(IReadOnlyList<FoundServer> Servers, TimeSpan? Ttl);
