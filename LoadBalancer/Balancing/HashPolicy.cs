using System.Numerics;
using System.Runtime.InteropServices;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The hash of the request's key decides, by a ring on which each backend has points in proportion to its weight: the owner of the next
/// point gets the key. When one of N backends leaves, its keys, about 1/N of all, go to others, and no other keys move. No backend
/// gets more than 1.25 times its share of what is in flight: the rest goes to the owner of the next point (Mirrokni, Thorup and
/// Zadimoghaddam 2018), so that one busy key cannot overload a backend. Further attempts at the same work go to the next owner too.
/// <para>
/// A ring takes milliseconds to build where there are thousands of backends, so it is built after the change was published, elsewhere.
/// Until then the former ring serves, without those that are no candidates: without them it has each key where the new one has it.
/// </para>
/// </summary>
public sealed class HashPolicy : IBalancingPolicy
{
    private const double LoadFactor = 1.25;

    // With that factor a few candidates are enough; if most are full or were tried, it is cheaper to look at all of them.
    private const int MostCandidates = 64;

    // Owners of a former ring may be candidates no longer.
    private const int MostSteps = 4096;

    private readonly Candidates _candidates;
    private readonly LeastConnectionsPolicy _otherwise;
    private readonly RingBuilder _builder;
    private readonly int[] _weights; // by slot, as the counts; 0 where no candidate is
    private readonly double _loadFactorPerWeight;
    private volatile PlacedRing _placed; // of the candidates, or a former one
    private volatile bool _hasOwnRing;
    private volatile HashPolicy? _next; // the one that has taken its place

    /// <summary>A policy over no backends yet.</summary>
    /// <param name="name">Its name in the configuration.</param>
    /// <param name="random">
    /// Breaks ties if almost no backend may be chosen; must be thread-safe if several threads use the policy.
    /// </param>
    /// <param name="run">Runs the building of rings; null: a thread of the thread pool does.</param>
    public HashPolicy(string name, Random random, Action<Action>? run = null)
        : this(name, new LeastConnectionsPolicy(random), Candidates.None, new PlacedRing(Candidates.None), new RingBuilder(run))
    {
    }

    private HashPolicy(string name, IBalancingPolicy otherwise, Candidates candidates, PlacedRing placed, RingBuilder builder)
    {
        (Name, _candidates, _otherwise, _builder) = (name, candidates, (LeastConnectionsPolicy)otherwise, builder);
        (_placed, _hasOwnRing) = (placed, placed.IsOf(candidates));
        _weights = new int[candidates.InFlight.All.Length];
        foreach (var (backend, weight) in candidates.Backends.Zip(candidates.Weights))
        {
            _weights[backend.Slot] = weight;
        }
        _loadFactorPerWeight = LoadFactor / candidates.Weights.Sum(weight => (double)weight);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates)
    {
        var next = new HashPolicy(Name, _otherwise.Over(candidates), candidates, _placed, _builder);
        if (!next._hasOwnRing && _placed.Ring.Count == 0)
        {
            next.Place(); // There is none that could serve meanwhile.
        }
        _next ??= next; // Policies for stand-bys are asked for after that for the serving tier.
        if (!next._hasOwnRing)
        {
            _builder.Add(next);
        }
        return next;
    }

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        var placed = _placed; // Read once: another thread may replace it.
        var (ring, owners) = (placed.Ring, placed.Candidates.Backends);
        if (_candidates.Backends.IsEmpty)
        {
            return null;
        }
        var (total, seen) = (-1, 0);
        var point = ring.Count == 0 ? 0 : ring.Find(context.ClientHash);
        for (var step = 0; step < MostSteps && seen < MostCandidates && ring.Count > 0; step++, point = ring.NextOwnerAfter(point))
        {
            var backend = owners[ring.OwnerOf(point)];
            var weight = backend.IsRemoved ? 0 : _weights[backend.Slot]; // Its slot may be that of another one by now.
            if (weight == 0)
            {
                continue;
            }
            seen++;
            if (!context.Admits(backend))
            {
                continue;
            }
            var inFlight = backend.InFlight;
            if (inFlight == 0)
            {
                return backend;
            }
            if (total < 0)
            {
                total = TotalInFlight();
            }
            // The same as: at most ceil(...) including this request.
            if (inFlight < (total + 1.0) * weight * _loadFactorPerWeight)
            {
                return backend;
            }
        }
        return _otherwise.Pick(context);
    }

    /// <summary>Builds its ring, unless another policy has taken its place; those that have followed meanwhile use it too.</summary>
    internal void PlaceUnlessReplaced()
    {
        if (_next is not null)
        {
            return;
        }
        Place();
        for (var next = _next; next is { _hasOwnRing: false }; next = next._next)
        {
            next._placed = _placed; // Else a pool that changes all the time would keep its first ring.
        }
    }

    private void Place() => (_placed, _hasOwnRing) = (new PlacedRing(_candidates), true);

    private int TotalInFlight()
    {
        var counts = MemoryMarshal.Cast<int, Vector<int>>(_candidates.InFlight.All);
        var weights = MemoryMarshal.Cast<int, Vector<int>>(_weights);
        var sum = Vector<int>.Zero;
        for (var i = 0; i < weights.Length; i++)
        {
            sum += counts[i] & Vector.GreaterThan(weights[i], Vector<int>.Zero);
        }
        return Vector.Sum(sum);
    }

    /// <summary>A ring and those whose points it has.</summary>
    private sealed class PlacedRing(Candidates candidates)
    {
        public Candidates Candidates => candidates;

        public HashRing Ring { get; } = new(
            [.. candidates.Backends.Zip(candidates.Weights, (backend, weight) => (backend.Name, weight))], Backend.WeightUnit);

        public bool IsOf(Candidates others) =>
            candidates.Backends.AsSpan().SequenceEqual(others.Backends.AsSpan())
            && candidates.Weights.AsSpan().SequenceEqual(others.Weights.AsSpan());
    }
}
