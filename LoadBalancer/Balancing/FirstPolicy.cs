using System.Collections.Immutable;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The first backend in the order of the configuration; the next one only while the first is down or full. For a primary with
/// stand-bys. Weights do not matter, except that 0 takes a backend out.
/// </summary>
public sealed class FirstPolicy : IBalancingPolicy
{
    private readonly ImmutableArray<Backend> _eligible;

    /// <summary>A policy over no backends yet.</summary>
    public FirstPolicy() : this(Candidates.None)
    {
    }

    private FirstPolicy(Candidates candidates) => _eligible = candidates.Backends;

    /// <inheritdoc/>
    public string Name => "First";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new FirstPolicy(candidates);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        foreach (var backend in _eligible)
        {
            if (context.Admits(backend))
            {
                return backend;
            }
        }
        return null;
    }
}
