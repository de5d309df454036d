using System.Collections.Immutable;

namespace LoadBalancer.Pools;

/// <summary>Those whom a policy chooses among. Immutable, but for the counts, which are read as they are at each choice.</summary>
/// <param name="Backends">The eligible backends, in the order of the configuration.</param>
/// <param name="Weights">
/// The weight of each at this time, above 0, in hundredths: what is configured times how far its slow start has come.
/// </param>
/// <param name="InFlight">The counts of the whole pool; <see cref="Backend.Place"/> tells a backend's own.</param>
public sealed record Candidates(ImmutableArray<Backend> Backends, ImmutableArray<int> Weights, InFlightCounts InFlight)
{
    /// <summary>Nobody.</summary>
    public static Candidates None { get; } = new([], [], new InFlightCounts());
}
