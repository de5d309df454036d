using System.Runtime.InteropServices;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// Draws five backends at random, in proportion to the weights, and sets aside those that are hot: that have clearly more in flight for
/// their weight than is usual. Of the others it takes the one with the least expected time, which is known for each power of two in
/// flight (<see cref="ExpectedTimes"/>); if all are hot, the one with the least in flight. That is the rule of Prequal (Wydrowski et al.,
/// NSDI 2024), with the load balancer's own counts and times where Prequal asks the servers.
/// </summary>
/// <remarks>
/// A backend that had no request for half a minute gets one, so that a slow one that has recovered is found: each eighth choice looks at
/// some backends in turn, and further ones do while they find such.
/// </remarks>
public sealed class HotColdPolicy : IBalancingPolicy
{
    private const int Draws = 5;
    private const float Part = 1 / 256f; // by which one count changes what is usual
    private const int FewBackends = 16;
    private const int Looks = 16; // at backends, for one that had no request for long
    private const int LookEvery = 8; // choices; a power of two

    private readonly Random _random;
    private readonly Candidates _candidates;
    private readonly WeightedChoice _choice;
    private readonly float[] _perRequest; // of each candidate: the mean weight divided by its weight
    private readonly int[] _slots;
    private readonly ExpectedTimes[] _expected; // of each candidate, so that most of them are judged without a look at the backend
    private readonly long _sum; // of the weights
    private readonly float _hotFactor;
    private readonly Core[] _cores; // what is usual, as each core has seen it: they do not write to the same cache line
    private int _next; // the candidate to look at next; it may be looked at twice, by two threads

    /// <summary>A policy over no backends yet.</summary>
    /// <param name="random">The source of randomness; must be thread-safe if several threads use the policy.</param>
    public HotColdPolicy(Random random) : this(random, Rotation.Stripes)
    {
    }

    /// <summary>The same with so many groups of cores; with one, that of a single thread, each run is the same.</summary>
    internal HotColdPolicy(Random random, int stripes) : this(random, Candidates.None, new Core[stripes])
    {
    }

    private HotColdPolicy(Random random, Candidates candidates, Core[] cores)
    {
        (_random, _candidates, _choice, _cores) = (random, candidates, new WeightedChoice(candidates, random), cores);
        _sum = candidates.Weights.Sum(weight => (long)weight);
        var mean = _sum / (float)Math.Max(1, candidates.Weights.Length);
        _perRequest = [.. candidates.Weights.Select(weight => mean / weight)];
        _slots = [.. candidates.Backends.Select(backend => backend.Slot)];
        _hotFactor = candidates.Backends.Length <= FewBackends ? 1.5f : 1.3f;
        _expected = [.. candidates.Backends.Select(
            backend => backend.Expected ??= new ExpectedTimes(ExpectedTimes.Milliseconds(backend.Health.Time)))];
    }

    /// <inheritdoc/>
    public string Name => "HotCold";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new HotColdPolicy(_random, candidates, _cores);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        if (_slots.Length == 0)
        {
            return null;
        }
        ref var core = ref _cores[Rotation.Stripe(_cores.Length)];
        if ((++core.Choices & (LookEvery - 1)) == 0 && FindUntried(context) is { } untried)
        {
            core.Choices--; // There may be more of them.
            return untried;
        }
        var picked = PickOfDrawn(context, ref core.Usual);
        if (picked < 0)
        {
            picked = _choice.Draw(context); // Most are full or were tried.
        }
        return picked < 0 ? null : _candidates.Backends[picked];
    }

    private int PickOfDrawn(in SelectionContext context, ref float usualHere)
    {
        Span<int> drawn = stackalloc int[Draws];
        Span<int> counts = stackalloc int[Draws];
        var all = _candidates.InFlight.All;
        var (usual, random) = (usualHere, (ulong)_random.NextInt64());
        for (var i = 0; i < Draws; i++)
        {
            drawn[i] = _choice.At(WeightedChoice.Stretch(ref random, _sum));
            counts[i] = all[_slots[drawn[i]]];
            usual += (counts[i] * _perRequest[drawn[i]] - usual) * Part;
        }
        usualHere = usual;
        var hot = Math.Max(1, MathF.Ceiling(_hotFactor * usual));
        var (best, bestTime, bestLoad) = (-1, float.PositiveInfinity, float.PositiveInfinity);
        for (var i = 0; i < Draws; i++)
        {
            var load = counts[i] * _perRequest[drawn[i]];
            var time = load < hot ? ExpectedTime(_expected[drawn[i]], counts[i]) : float.PositiveInfinity;
            if ((time < bestTime || time == bestTime && load < bestLoad)
                && context.Admits(_candidates.Backends[drawn[i]])) // asked last: most are not better
            {
                (best, bestTime, bestLoad) = (drawn[i], time, load);
            }
        }
        return best;
    }

    // One of which nothing is known is tried, but with one request at a time.
    private static float ExpectedTime(ExpectedTimes expected, int inFlight) =>
        expected.Seconds(inFlight) is > 0 and var known ? known
        : inFlight == 0 ? 0
        : float.MaxValue;

    private Backend? FindUntried(in SelectionContext context)
    {
        var backends = _candidates.Backends;
        var now = ExpectedTimes.Milliseconds(backends[0].Health.Time);
        var next = _next;
        for (var i = Math.Min(Looks, backends.Length); i > 0; i--)
        {
            next = next + 1 < backends.Length ? next + 1 : 0;
            if (_expected[next].IsOld(now) && context.Admits(backends[next]) && _expected[next].TryBeginTrial(now))
            {
                _next = next;
                return backends[next];
            }
        }
        _next = next;
        return null;
    }

    [StructLayout(LayoutKind.Explicit, Size = 128)] // two cache lines, because processors load them in pairs
    private struct Core
    {
        [FieldOffset(0)]
        public float Usual;

        [FieldOffset(4)]
        public int Choices;
    }
}
