using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// Draws two different backends at random, in proportion to the weights, and takes the one that is likely to respond first: by its recent
/// response time, times the number in flight plus one, divided by its weight (Finagle's power of two choices with <c>peak_ewma</c>). No
/// backend starves: one whose response time is unknown or old is tried; and as two are drawn, even the fastest gets at most twice its
/// share.
/// </summary>
public sealed class ResponseTimePolicy : IBalancingPolicy
{
    private readonly Random _random;
    private readonly Candidates _candidates;
    private readonly WeightedChoice _choice;

    /// <summary>A policy over no backends yet.</summary>
    /// <param name="random">The source of randomness; must be thread-safe if several threads use the policy.</param>
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
        // A backend of unknown response time is tried, but with one request at a time.
        if ((ratio == 0 && inFlightA > 0) || (double.IsPositiveInfinity(ratio) && inFlightB > 0))
        {
            ratio = 1;
        }
        return ratio * (inFlightA + 1) * _candidates.Weights[other] < (inFlightB + 1.0) * _candidates.Weights[one];
    }
}
