using System.Numerics;
using System.Runtime.Intrinsics;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The one with the fewest requests in flight for its weight; among equals one at random, in proportion to the weights. Nothing is
/// kept in order, which would need a lock at each request's begin and end: the counts of all are compared, sixteen at a time.
/// </summary>
public sealed class LeastConnectionsPolicy : IBalancingPolicy
{
    /// <summary>From how many backends on comparing them all at once is worth its overhead (measured: docs/policies.md).</summary>
    internal const int Many = 24;

    private const int Draws = 4;
    private static readonly int Lanes = Vector256<float>.Count;

    private readonly Random _random;
    private readonly Candidates _candidates;
    private readonly WeightedChoice _choice;

    // By place, as the counts are: load = count * perRequest + handicap.
    private readonly float[] _perRequest; // 1 / weight
    private readonly float[] _handicap;   // infinite where no candidate is, else 0
    private readonly int[] _indexes;      // among the candidates

    /// <summary>A policy over nobody yet.</summary>
    /// <param name="random">Breaks ties; must be safe for several threads where the policy is used by several.</param>
    public LeastConnectionsPolicy(Random random) : this(random, Candidates.None)
    {
    }

    private LeastConnectionsPolicy(Random random, Candidates candidates)
    {
        (_random, _candidates, _choice) = (random, candidates, new WeightedChoice(candidates, random));
        var places = candidates.Backends.Length < Many ? 0 : candidates.InFlight.All.Length;
        (_perRequest, _handicap, _indexes) = (new float[places], new float[places], new int[places]);
        Array.Fill(_handicap, float.PositiveInfinity);
        for (var i = 0; places > 0 && i < candidates.Backends.Length; i++)
        {
            var place = candidates.Backends[i].Place;
            (_perRequest[place], _handicap[place], _indexes[place]) = (1f / candidates.Weights[i], 0, i);
        }
    }

    /// <inheritdoc/>
    public string Name => "LeastConnections";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new LeastConnectionsPolicy(_random, candidates);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        if (_perRequest.Length > 0 && LeastOfMany() is >= 0 and var least && context.Admits(_candidates.Backends[least]))
        {
            return _candidates.Backends[least];
        }
        return LeastOfAdmitted(context);
    }

    private Backend? LeastOfAdmitted(in SelectionContext context)
    {
        var (least, leastInFlight, tied) = (-1, 0L, 0L);
        var weights = _candidates.Weights;
        for (var i = 0; i < weights.Length; i++)
        {
            var backend = _candidates.Backends[i];
            var inFlight = (long)backend.InFlight;
            var difference = least < 0 ? -1 : inFlight * weights[least] - leastInFlight * weights[i];
            if (difference > 0 || !context.Admits(backend))
            {
                continue;
            }
            tied = difference < 0 ? weights[i] : tied + weights[i];
            if (difference < 0 || _random.NextInt64(tied) < weights[i])
            {
                (least, leastInFlight) = (i, inFlight);
            }
        }
        return least < 0 ? null : _candidates.Backends[least];
    }

    // -1 where the counts moved so fast that none is the least any more.
    private int LeastOfMany()
    {
        var counts = _candidates.InFlight.All;
        var least = Least(counts) * 1.000001f; // 3 / 300 is to be the same as 1 / 100
        for (var i = 0; i < Draws; i++)
        {
            // Where many are equal, as when all are idle, drawing from all soon meets one of them, and with the right probability.
            var drawn = _choice.Any();
            var place = _candidates.Backends[drawn].Place;
            if (counts[place] * _perRequest[place] <= least)
            {
                return drawn;
            }
        }
        return DrawAmongLeast(counts, least);
    }

    private float Least(ReadOnlySpan<int> counts)
    {
        var (first, second) = (Vector256.Create(float.PositiveInfinity), Vector256.Create(float.PositiveInfinity));
        for (var place = 0; place < _perRequest.Length; place += 2 * Lanes)
        {
            first = Vector256.Min(first, Loads(counts, place));
            second = Vector256.Min(second, Loads(counts, place + Lanes));
        }
        first = Vector256.Min(first, second);
        var least = first[0];
        for (var lane = 1; lane < Lanes; lane++)
        {
            least = Math.Min(least, first[lane]);
        }
        return least;
    }

    // A reservoir of one, as in WeightedChoice; one random number is stretched over all ties.
    private int DrawAmongLeast(ReadOnlySpan<int> counts, float least)
    {
        var (drawn, tied, random) = (-1, 0L, (ulong)_random.NextInt64());
        var limit = Vector256.Create(least);
        for (var place = 0; place < _perRequest.Length; place += Lanes)
        {
            for (var ties = Vector256.LessThanOrEqual(Loads(counts, place), limit).ExtractMostSignificantBits(); ties != 0; ties &= ties - 1)
            {
                var i = _indexes[place + BitOperations.TrailingZeroCount(ties)];
                tied += _candidates.Weights[i];
                random = random * 6364136223846793005 + 1442695040888963407; // Knuth's MMIX
                if (Math.BigMul(random, (ulong)tied, out _) < (ulong)_candidates.Weights[i])
                {
                    drawn = i;
                }
            }
        }
        return drawn;
    }

    private Vector256<float> Loads(ReadOnlySpan<int> counts, int place) =>
        Vector256.ConvertToSingle(Vector256.Create(counts[place..])) * Vector256.Create(_perRequest.AsSpan(place)) + Vector256.Create(_handicap.AsSpan(place));
}
