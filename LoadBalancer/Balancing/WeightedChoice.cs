using System.Collections.Immutable;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// Draws among candidates at random, in proportion to their weights, in expected O(1): a number below the sum of the weights falls into
/// the part of one candidate in the running totals, and a guide table says where to begin the search (Chen and Asau 1974). Unlike an
/// alias table it is exact in integers, and by leaving out one part it draws among all the others as exactly.
/// </summary>
internal sealed class WeightedChoice
{
    // If most candidates have room, this number of draws finds one of them; else it is cheaper to look at all.
    private const int Draws = 4;

    private readonly ImmutableArray<Backend> _backends;
    private readonly ImmutableArray<int> _weights;
    private readonly Random _random;
    private readonly long[] _ends; // running totals: a candidate owns the numbers from the end of the one before it up to its own end

    // The sum is cut into as many equal parts as there are candidates. For each part: the first candidate that may own its first number.
    private readonly int[] _guide;
    private readonly double _partsPerUnit;
    private readonly uint _weightOfAll; // 0 where they differ; else no table is needed, which is often not in the processor's cache

    public WeightedChoice(Candidates candidates, Random random)
    {
        (_backends, _weights, _random) = (candidates.Backends, candidates.Weights, random);
        _ends = new long[_weights.Length];
        _guide = new int[_weights.Length];
        var sum = 0L;
        for (var i = 0; i < _weights.Length; i++)
        {
            _ends[i] = sum += _weights[i];
        }
        _partsPerUnit = _weights.Length / (double)sum;
        _weightOfAll = sum <= uint.MaxValue && _weights.Distinct().Count() == 1 ? (uint)_weights[0] : 0;
        for (var (i, part) = (0, 0); i < _weights.Length; i++)
        {
            for (; part <= Part(_ends[i] - 1); part++)
            {
                _guide[part] = i;
            }
        }
    }

    /// <summary>One of the candidates, whether it may be chosen or not.</summary>
    public int Any() => At(_random.NextInt64(_ends[^1]));

    /// <summary>One of the candidates that the context admits.</summary>
    /// <param name="context">The work for which a backend is chosen.</param>
    /// <param name="except">The candidate to leave out; -1 for none.</param>
    /// <returns>Its index among the candidates; -1 if there is none.</returns>
    public int Draw(in SelectionContext context, int except = -1)
    {
        if (_ends.Length < (except < 0 ? 1 : 2))
        {
            return -1;
        }
        for (var i = 0; i < Draws; i++)
        {
            var drawn = except < 0 ? Any() : AnyBut(except);
            if (context.Admits(_backends[drawn]))
            {
                return drawn;
            }
        }
        return DrawFromAdmitted(context, except);
    }

    /// <summary>A number below a limit; more than one can be had of one random number that way.</summary>
    /// <param name="random">A random number; the next one afterwards, by Knuth's MMIX.</param>
    /// <param name="limit">The limit, above 0.</param>
    public static long Stretch(ref ulong random, long limit)
    {
        random = random * 6364136223846793005 + 1442695040888963407;
        return (long)Math.BigMul(random, (ulong)limit, out _);
    }

    private int AnyBut(int except)
    {
        if (_ends.Length == 2)
        {
            return 1 - except; // the most common pool: no need to draw
        }
        var start = except == 0 ? 0 : _ends[except - 1];
        var at = _random.NextInt64(_ends[^1] - _weights[except]);
        return At(at < start ? at : at + _weights[except]);
    }

    /// <summary>The candidate that owns this number, which is 0 or above and below the sum of the weights.</summary>
    public int At(long number)
    {
        if (_weightOfAll > 0)
        {
            return (int)((uint)number / _weightOfAll);
        }
        var i = _guide[Part(number)];
        while (_ends[i] <= number)
        {
            i++;
        }
        return i;
    }

    private int Part(long number) => (int)(number * _partsPerUnit);

    // Reservoir sampling with one item: each candidate replaces the one before it with the probability of its share so far.
    private int DrawFromAdmitted(in SelectionContext context, int except)
    {
        var (drawn, sum) = (-1, 0L);
        for (var i = 0; i < _weights.Length; i++)
        {
            if (i != except && context.Admits(_backends[i]) && _random.NextInt64(sum += _weights[i]) < _weights[i])
            {
                drawn = i;
            }
        }
        return drawn;
    }
}
