using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// Two different ones at random, in proportion to the weights, and of these the one that is likely to answer first: by its recent
/// response time, times what it has in flight and one more, by its weight (Finagle's power of two choices with <c>peak_ewma</c>). Nobody
/// starves: who is not known, or was not heard of for long, is tried; and by two at random even the fastest gets no more than twice its share.
/// </summary>
public sealed class ResponseTimePolicy : IBalancingPolicy
{
    private readonly Random _random;
    private readonly Candidates _candidates;
    private readonly WeightedChoice _choice;

    /// <summary>A policy over nobody yet.</summary>
    /// <param name="random">Where the randomness comes from; must be safe for several threads where the policy is used by several.</param>
    public ResponseTimePolicy(Random random) : this(random, Candidates.None)
    {
    }

    private ResponseTimePolicy(Random random, Candidates candidates) =>
        (_random, _candidates, _choice) = (random, candidates, new WeightedChoice(candidates, random));

    /// <inheritdoc/>
    public string Name => "ResponseTime";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new ResponseTimePolicy(_random, candidates);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        var first = _choice.Draw(context);
        if (first < 0)
        {
            return null;
        }
        var second = _choice.Draw(context, except: first);
        return _candidates.Backends[second >= 0 && IsFaster(second, first) ? second : first];
    }

    private bool IsFaster(int one, int other)
    {
        var (a, b) = (_candidates.Backends[one], _candidates.Backends[other]);
        var (inFlightA, inFlightB) = (a.InFlight, b.InFlight);
        var ratio = a.ResponseTime.RelativeTo(b.ResponseTime);
        // Who is not known is tried; but by one request, not by all that come until it has answered that one.
        if ((ratio == 0 && inFlightA > 0) || (double.IsPositiveInfinity(ratio) && inFlightB > 0))
        {
            ratio = 1;
        }
        return ratio * (inFlightA + 1) * _candidates.Weights[other] < (inFlightB + 1.0) * _candidates.Weights[one];
    }
}
