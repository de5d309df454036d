using System.Collections.Immutable;
using System.Numerics;

namespace LoadBalancer.Balancing;

/// <summary>
/// Takes candidates in turn, in proportion to their weights and evenly mixed, without a list of turns: it goes through the numbers below
/// the sum of the weights in steps that have no divisor in common with the sum, so that each number comes once before any comes again.
/// Steps of about 0.38 of the sum mix best (three-distance theorem). Nothing is locked, and cores do not write to the same cache line
/// unless they are told that nothing else is under way: two threads may then take the same turn, never a wrong one.
/// </summary>
internal sealed class Rotation
{
    private const int Line = 16; // long values: two cache lines, because processors load them in pairs
    private const double Golden = 0.381966;

    /// <summary>How many groups of cores write to cache lines of their own; a power of two.</summary>
    public static readonly int Stripes = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Min(64, Environment.ProcessorCount));

    private readonly long[] _positions; // of each core; shared by all rotations that were made one from another
    private readonly long _sum;
    private readonly long _step;
    private readonly long _unit; // what the weights have in common

    /// <summary>A rotation through nothing yet.</summary>
    /// <param name="stripes">How many groups of cores take turns of their own; a power of two.</param>
    public Rotation(int stripes) : this([], new long[stripes * Line])
    {
    }

    private Rotation(ImmutableArray<int> weights, long[] positions)
    {
        _positions = positions;
        _unit = Math.Max(1, weights.Aggregate(0L, (a, b) => Divisor(a, b)));
        _sum = weights.Sum(weight => (long)weight) / _unit;
        _step = 1;
        if (weights.Any(weight => weight != weights[0]))
        {
            for (_step = Math.Max(1, (long)(_sum * Golden)); Divisor(_step, _sum) != 1; _step++)
            {
            }
        }
    }

    /// <summary>The group of the core that runs this.</summary>
    /// <param name="of">How many groups there are; a power of two.</param>
    public static int Stripe(int of) => of == 1 ? 0 : Thread.GetCurrentProcessorId() & (of - 1);

    /// <summary>A rotation through other candidates, which goes on from where this one is. Not for the request path.</summary>
    public Rotation Over(ImmutableArray<int> weights) => new(weights, _positions);

    /// <summary>The next turn.</summary>
    /// <param name="isAlone">
    /// Whether nothing else is under way: then all cores take turns together, so that requests one after the other alternate.
    /// </param>
    /// <returns>A number that is below the sum of the weights, for <see cref="WeightedChoice.At"/>.</returns>
    public long Next(bool isAlone)
    {
        var stripe = isAlone ? 0 : Stripe(_positions.Length / Line);
        ref var position = ref _positions[stripe * Line];
        var turn = Volatile.Read(ref position);
        if (turn >= _sum)
        {
            turn %= _sum; // set by a rotation through others
        }
        var next = turn + _step;
        Volatile.Write(ref position, next >= _sum ? next - _sum : next);
        return turn * _unit;
    }

    private static long Divisor(long a, long b)
    {
        while (b != 0)
        {
            (a, b) = (b, a % b);
        }
        return a;
    }
}
