using System.Collections.Immutable;

namespace LoadBalancer.Pools;

/// <summary>
/// The backends among which a policy chooses. Immutable, except for the in-flight counts, which are live.
/// </summary>
/// <param name="Backends">The eligible backends of one tier, in the order of the configuration.</param>
/// <param name="Weights">
/// The present weight of each backend, above 0, in hundredths: the configured weight, reduced by slow start and by reported load.
/// </param>
/// <param name="InFlight">The counts of the whole pool; <see cref="Backend.Slot"/> is the index of a backend's own count.</param>
public sealed record Candidates(ImmutableArray<Backend> Backends, ImmutableArray<int> Weights, InFlightCounts InFlight)
{
    /// <summary>No candidates.</summary>
    public static Candidates None { get; } = new([], [], new InFlightCounts());
}
