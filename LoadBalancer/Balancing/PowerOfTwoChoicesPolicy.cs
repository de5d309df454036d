using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// Draws two different backends at random, in proportion to the weights, and takes the one with fewer requests in flight for its weight,
/// as nginx's <c>random two least_conn</c>. The most loaded of n backends has about ln ln n more than its share: nearly as even as
/// looking at all of them, at the cost of two (Mitzenmacher 2001).
/// </summary>
public sealed class PowerOfTwoChoicesPolicy : IBalancingPolicy
{
    private readonly Random _random;
    private readonly Candidates _candidates;
    private readonly WeightedChoice _choice;

    /// <summary>A policy over no backends yet.</summary>
    /// <param name="random">The source of randomness; must be thread-safe if several threads use the policy.</param>
    public PowerOfTwoChoicesPolicy(Random random) : this(random, Candidates.None)
    {
    }

    private PowerOfTwoChoicesPolicy(Random random, Candidates candidates) =>
        (_random, _candidates, _choice) = (random, candidates, new WeightedChoice(candidates, random));

    /// <inheritdoc/>
    public string Name => "PowerOfTwoChoices";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new PowerOfTwoChoicesPolicy(_random, candidates);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        var first = _choice.Draw(context);
        if (first < 0)
        {
            return null;
        }
        var second = _choice.Draw(context, except: first);
        // If they are equal, take the first one, which was drawn by weight: while none is busy the shares follow the weights.
        return _candidates.Backends[second >= 0 && HasLess(second, first) ? second : first];
    }

    private bool HasLess(int one, int other) =>
        (long)_candidates.Backends[one].InFlight * _candidates.Weights[other]
        < (long)_candidates.Backends[other].InFlight * _candidates.Weights[one];
}
