using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The backend with the fewest requests in flight for its weight; among equals each in turn, in proportion to the weights. Nothing is
/// kept in order, which would need a lock at the begin and end of each request: the counts of all are compared, sixteen at a time.
/// </summary>
public sealed class LeastConnectionsPolicy : IBalancingPolicy
{
    // From this number of backends on, comparing them with vectors is worth its overhead: 21 ns instead of 80 if all are idle.
    private const int Many = 8;

    // If a tenth are equal, this number of turns finds one of them more often than not.
    private const int Turns = 8;

    private const int Lanes = 8; // of a Vector256<float>

    private readonly Random _random;
    private readonly Candidates _candidates;
    private readonly WeightedChoice _choice;
    private readonly Rotation _rotation;

    // By slot, as the counts are: load = count * perRequest + handicap.
    private readonly float[] _perRequest; // 1 / weight
    private readonly float[] _handicap;   // infinite if the slot has no candidate, else 0
    private readonly int[] _indexes;      // the index among the candidates
    private readonly int[] _slots;       // of each candidate

    /// <summary>A policy over no backends yet.</summary>
    /// <param name="random">
    /// Breaks ties among so few of many that it would take long for their turn to come; must be thread-safe if several threads use the
    /// policy.
    /// </param>
    public LeastConnectionsPolicy(Random random) : this(random, Rotation.Stripes)
    {
    }

    /// <summary>The same with so many groups of cores; with one, that of a single thread, each run is the same.</summary>
    internal LeastConnectionsPolicy(Random random, int stripes) : this(random, Candidates.None, new Rotation(stripes))
    {
    }

    private LeastConnectionsPolicy(Random random, Candidates candidates, Rotation rotation)
    {
        (_random, _candidates, _choice) = (random, candidates, new WeightedChoice(candidates, random));
        _rotation = rotation.Over(candidates.Weights);
        var slots = candidates.Backends.Length < Many ? 0 : candidates.InFlight.All.Length;
        (_perRequest, _handicap, _indexes) = (new float[slots], new float[slots], new int[slots]);
        _slots = [.. candidates.Backends.Select(backend => backend.Slot)];
        Array.Fill(_handicap, float.PositiveInfinity);
        for (var i = 0; slots > 0 && i < candidates.Backends.Length; i++)
        {
            (_perRequest[_slots[i]], _handicap[_slots[i]], _indexes[_slots[i]]) = (1f / candidates.Weights[i], 0, i);
        }
    }

    /// <inheritdoc/>
    public string Name => "LeastConnections";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new LeastConnectionsPolicy(_random, candidates, _rotation);

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
        var (least, leastInFlight, ties, all) = (-1, 0L, 0, 0L);
        var weights = _candidates.Weights;
        for (var i = 0; i < weights.Length; i++)
        {
            var backend = _candidates.Backends[i];
            var inFlight = (long)backend.InFlight;
            all |= inFlight;
            var difference = least < 0 ? -1 : inFlight * weights[least] - leastInFlight * weights[i];
            if (difference > 0 || !context.Admits(backend))
            {
                continue;
            }
            ties++;
            if (difference < 0)
            {
                (least, leastInFlight, ties) = (i, inFlight, 1);
            }
        }
        if (ties <= 1)
        {
            return least < 0 ? null : _candidates.Backends[least];
        }
        for (var i = 0; i < Turns; i++)
        {
            var next = _choice.At(_rotation.Next(isAlone: all == 0));
            var backend = _candidates.Backends[next];
            if (backend.InFlight * (long)weights[least] <= leastInFlight * weights[next] && context.Admits(backend))
            {
                return backend;
            }
        }
        return DrawAmongAdmitted(context);
    }

    // A reservoir of one, as in WeightedChoice.
    private Backend? DrawAmongAdmitted(in SelectionContext context)
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

    // -1 if the counts changed so fast that none is the least any more.
    private int LeastOfMany()
    {
        var counts = _candidates.InFlight.All;
        var (lowest, isIdle) = Least(counts);
        var least = lowest * 1.000001f; // 3 / 300 must be equal to 1 / 100
        for (var i = 0; i < Turns; i++)
        {
            // If many are equal, for example all idle, it is soon the turn of one of them.
            var next = _choice.At(_rotation.Next(isIdle));
            if (counts[_slots[next]] * _perRequest[_slots[next]] <= least)
            {
                return next;
            }
        }
        return DrawAmongLeast(counts, least);
    }

    private (float Load, bool IsIdle) Least(ReadOnlySpan<int> counts)
    {
        var all = Vector256<int>.Zero;
        // two that do not depend on each other
        var least = (Vector256.Create(float.PositiveInfinity), Vector256.Create(float.PositiveInfinity));
        ref var count = ref MemoryMarshal.GetReference(counts);
        ref var perRequest = ref MemoryMarshal.GetArrayDataReference(_perRequest);
        ref var handicap = ref MemoryMarshal.GetArrayDataReference(_handicap);
        for (var slot = 0; slot < _perRequest.Length; slot += 2 * Lanes)
        {
            least.Item1 = Vector256.MinNative(least.Item1, Loads(ref count, ref perRequest, ref handicap, slot));
            least.Item2 = Vector256.MinNative(least.Item2, Loads(ref count, ref perRequest, ref handicap, slot + Lanes));
            all |= Vector256.LoadUnsafe(ref count, (nuint)slot) | Vector256.LoadUnsafe(ref count, (nuint)(slot + Lanes));
        }
        var both = Vector256.MinNative(least.Item1, least.Item2);
        var result = both[0];
        for (var lane = 1; lane < Lanes; lane++)
        {
            result = Math.Min(result, both[lane]);
        }
        return (result, all == Vector256<int>.Zero);
    }

    // The same; one random number is stretched over all ties.
    private int DrawAmongLeast(ReadOnlySpan<int> counts, float least)
    {
        var (drawn, tied, random) = (-1, 0L, (ulong)_random.NextInt64());
        var limit = Vector256.Create(least);
        ref var count = ref MemoryMarshal.GetReference(counts);
        ref var perRequest = ref MemoryMarshal.GetArrayDataReference(_perRequest);
        ref var handicap = ref MemoryMarshal.GetArrayDataReference(_handicap);
        for (var slot = 0; slot < _perRequest.Length; slot += Lanes)
        {
            var ties = Vector256.LessThanOrEqual(Loads(ref count, ref perRequest, ref handicap, slot), limit).ExtractMostSignificantBits();
            for (; ties != 0; ties &= ties - 1)
            {
                var i = _indexes[slot + BitOperations.TrailingZeroCount(ties)];
                tied += _candidates.Weights[i];
                if (WeightedChoice.Stretch(ref random, tied) < _candidates.Weights[i])
                {
                    drawn = i;
                }
            }
        }
        return drawn;
    }

    private static Vector256<float> Loads(ref int count, ref float perRequest, ref float handicap, int slot) =>
        Vector256.ConvertToSingle(Vector256.LoadUnsafe(ref count, (nuint)slot)) * Vector256.LoadUnsafe(ref perRequest, (nuint)slot)
        + Vector256.LoadUnsafe(ref handicap, (nuint)slot);
}
