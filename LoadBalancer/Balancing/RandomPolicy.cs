using System.Collections.Immutable;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// Any backend, in proportion to the weights. Nodes that know nothing of each other never choose in step, as they may with round robin;
/// but the most loaded of n backends has about ln n / ln ln n times its share.
/// </summary>
public sealed class RandomPolicy : IBalancingPolicy
{
    private readonly Random _random;
    private readonly ImmutableArray<Backend> _backends;
    private readonly WeightedChoice _choice;

    /// <summary>A policy over no backends yet.</summary>
    /// <param name="random">The source of randomness; must be thread-safe if several threads use the policy.</param>
    public RandomPolicy(Random random) : this(random, Candidates.None)
    {
    }

    private RandomPolicy(Random random, Candidates candidates) =>
        (_random, _backends, _choice) = (random, candidates.Backends, new WeightedChoice(candidates, random));

    /// <inheritdoc/>
    public string Name => "Random";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new RandomPolicy(_random, candidates);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context) => _choice.Draw(context) is >= 0 and var drawn ? _backends[drawn] : null;
}
