using System.Collections.Immutable;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The first backend in the order of the configuration; the next one only while the first is out or full. For a primary with
/// stand-bys. Weights play no part, except that 0 takes a backend out.
/// </summary>
public sealed class FirstPolicy : IBalancingPolicy
{
    private readonly ImmutableArray<Backend> _eligible;

    /// <summary>A policy over nobody yet.</summary>
    public FirstPolicy() : this([])
    {
    }

    private FirstPolicy(ImmutableArray<Backend> eligible) => _eligible = eligible;

    /// <inheritdoc/>
    public string Name => "First";

    /// <inheritdoc/>
    public IBalancingPolicy Over(ImmutableArray<Backend> eligible) => new FirstPolicy(eligible);

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
