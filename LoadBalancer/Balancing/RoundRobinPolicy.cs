using System.Collections.Immutable;
using System.Numerics;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// Each backend in turn, in proportion to the weights and evenly mixed: 5:1:1 gives a a b a c a a, not five a's in a row. That is nginx's
/// smooth weighted round robin; but nginx updates the running weight of every backend at each choice, under a lock. Here the sequence is
/// computed once, when the set changes, and a choice is one step of a shared counter.
/// </summary>
public sealed class RoundRobinPolicy : IBalancingPolicy
{
    // To compute the sequence of n backends whose weights sum to s takes n * s steps. Four million, a few milliseconds, are enough for
    // 2,000 backends of equal weight, or 100 with any weights up to 400 each. Beyond that, weights are scaled down to fit.
    private const long MaxSteps = 4_000_000;

    private readonly ImmutableArray<Backend> _backends;
    private readonly ImmutableArray<Backend> _sequence;
    private readonly Counter _counter;

    /// <summary>A policy over no backends yet.</summary>
    public RoundRobinPolicy() : this(Candidates.None, new Counter())
    {
    }

    private RoundRobinPolicy(Candidates candidates, Counter counter) =>
        (_backends, _sequence, _counter) = (candidates.Backends, Sequence(candidates), counter);

    /// <inheritdoc/>
    public string Name => "RoundRobin";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new RoundRobinPolicy(candidates, _counter);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        var sequence = _sequence.AsSpan();
        if (sequence.IsEmpty)
        {
            return null;
        }
        var start = (int)((ulong)Interlocked.Increment(ref _counter.Value) % (uint)sequence.Length);
        return FirstAdmitted(sequence, start, Math.Min(sequence.Length, 2 * _backends.Length), context)
            // Most are full or were tried, and the sequence may be many times longer than the list of backends.
            ?? FirstAdmitted(_backends.AsSpan(), start % _backends.Length, _backends.Length, context);
    }

    private static Backend? FirstAdmitted(ReadOnlySpan<Backend> sequence, int start, int count, in SelectionContext context)
    {
        for (var i = 0; i < count; i++)
        {
            var backend = sequence[start + i < sequence.Length ? start + i : start + i - sequence.Length];
            if (context.Admits(backend))
            {
                return backend;
            }
        }
        return null;
    }

    private static ImmutableArray<Backend> Sequence(Candidates candidates)
    {
        var backends = candidates.Backends;
        var weights = ReducedWeights(candidates.Weights);
        if (weights.All(weight => weight == 1))
        {
            return backends;
        }
        var length = weights.Sum();
        var sequence = ImmutableArray.CreateBuilder<Backend>(length);
        var running = new int[weights.Length];
        for (var i = 0; i < length; i++)
        {
            var best = 0;
            for (var b = 0; b < weights.Length; b++)
            {
                running[b] += weights[b];
                if (running[b] > running[best])
                {
                    best = b;
                }
            }
            running[best] -= length;
            sequence.Add(backends[best]);
        }
        return sequence.MoveToImmutable();
    }

    private static int[] ReducedWeights(ImmutableArray<int> weights)
    {
        var divisor = Math.Max(1, weights.Aggregate(0, (a, b) => (int)BigInteger.GreatestCommonDivisor(a, b)));
        var steps = weights.Sum(weight => (long)weight) / divisor * weights.Length;
        var scale = Math.Max(1.0, steps / (double)MaxSteps);
        return [.. weights.Select(weight => Math.Max(1, (int)(weight / divisor / scale)))];
    }

    private sealed class Counter
    {
        public long Value = -1;
    }
}
