using System.Numerics;
using System.Runtime.InteropServices;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The hash of the client decides, by a ring on which each backend has points in proportion to its weight: the owner of the next point
/// gets the client. When one of N backends leaves, its clients, about 1/N of all, go to others, and no other clients move. No backend
/// gets more than 1.25 times its share of what is in flight: the rest goes to the owner of the next point (Mirrokni, Thorup and
/// Zadimoghaddam 2018), so that one busy client cannot overload a backend.
/// </summary>
public sealed class IpHashPolicy : IBalancingPolicy
{
    private const double LoadFactor = 1.25;

    // With that factor a few steps find a backend; if most are full or were tried, it is cheaper to look at all of them.
    private const int Steps = 64;

    private readonly Candidates _candidates;
    private readonly HashRing _ring;
    private readonly LeastConnectionsPolicy _otherwise;
    private readonly int[] _mask; // by slot, as the counts: all bits set where a candidate is
    private readonly double _loadFactorPerWeight;

    /// <summary>A policy over no backends yet.</summary>
    /// <param name="random">
    /// Breaks ties if almost no backend may be chosen; must be thread-safe if several threads use the policy.
    /// </param>
    public IpHashPolicy(Random random) : this(new LeastConnectionsPolicy(random), Candidates.None)
    {
    }

    private IpHashPolicy(IBalancingPolicy otherwise, Candidates candidates)
    {
        (_candidates, _otherwise) = (candidates, (LeastConnectionsPolicy)otherwise);
        _ring = new HashRing(
            [.. candidates.Backends.Zip(candidates.Weights, (backend, weight) => (backend.Name, weight))], Backend.WeightUnit);
        _mask = new int[candidates.InFlight.All.Length];
        foreach (var backend in candidates.Backends)
        {
            _mask[backend.Slot] = -1;
        }
        _loadFactorPerWeight = LoadFactor / candidates.Weights.Sum(weight => (double)weight);
    }

    /// <inheritdoc/>
    public string Name => "IpHash";

    /// <inheritdoc/>
    public IBalancingPolicy Over(Candidates candidates) => new IpHashPolicy(_otherwise.Over(candidates), candidates);

    /// <inheritdoc/>
    public Backend? Pick(in SelectionContext context)
    {
        if (_ring.Count == 0)
        {
            return null;
        }
        var total = -1;
        var point = _ring.Find(context.ClientHash);
        for (var step = 0; step < Steps; step++, point = _ring.After(point))
        {
            var owner = _ring.OwnerOf(point);
            var backend = _candidates.Backends[owner];
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
            if (inFlight < (total + 1.0) * _candidates.Weights[owner] * _loadFactorPerWeight)
            {
                return backend;
            }
        }
        return _otherwise.Pick(context);
    }

    private int TotalInFlight()
    {
        var counts = MemoryMarshal.Cast<int, Vector<int>>(_candidates.InFlight.All);
        var mask = MemoryMarshal.Cast<int, Vector<int>>(_mask);
        var sum = Vector<int>.Zero;
        for (var i = 0; i < mask.Length; i++)
        {
            sum += counts[i] & mask[i];
        }
        return Vector.Sum(sum);
    }
}
