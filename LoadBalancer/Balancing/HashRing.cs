using System.Buffers;
using System.Numerics;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The points of all candidates on a ring of hashes, in order. The points of a candidate depend only on its name and its weight, so that
/// the points of others stay when one joins or leaves; the same names make the same ring in every process.
/// </summary>
internal sealed class HashRing
{
    // nginx's and HAProxy's order of magnitude: the shares of equal backends vary by 1 / sqrt(160), 8 %.
    private const double PointsPerWeight = 160;

    /// <summary>
    /// About the most points of a ring, which takes a few milliseconds to compute. Beyond that every candidate has fewer points, and then
    /// some clients of others move too when the sum of the weights changes.
    /// </summary>
    internal const int MaxPoints = 1 << 18;

    private readonly Point[] _points;
    private readonly int[] _starts; // index of the first point, by the upper bits of a hash
    private readonly int _shift;

    /// <summary>Creates a ring.</summary>
    /// <param name="candidates">The name of each and its weight.</param>
    /// <param name="unit">The unit of these weights: what a configured weight of 1 is.</param>
    public HashRing(IReadOnlyList<(string Name, int Weight)> candidates, int unit)
    {
        var wanted = candidates.Sum(candidate => candidate.Weight * PointsPerWeight / unit);
        var perWeight = PointsPerWeight / unit * Math.Min(1, MaxPoints / wanted);
        var counts = candidates.Select(candidate => Math.Max(1, (int)(candidate.Weight * perWeight))).ToArray();
        var bits = Math.Max(1, BitOperations.Log2((uint)Math.Max(1, counts.Sum())));
        _shift = 64 - bits;
        _starts = new int[(1 << bits) + 1];
        // Rented, because megabytes of garbage at each change make the collector stop the process for longer than this takes.
        var scattered = ArrayPool<Point>.Shared.Rent(counts.Sum());
        _points = Sort(Scatter(candidates, counts, scattered));
        ArrayPool<Point>.Shared.Return(scattered);
    }

    /// <summary>How many points there are.</summary>
    public int Count => _points.Length;

    /// <summary>The first point at or after a hash; after the last point comes the first one. The ring must not be empty.</summary>
    public int Find(ulong hash)
    {
        var at = _starts[hash >> _shift];
        while (at < _points.Length && _points[at].Hash < hash)
        {
            at++;
        }
        return at < _points.Length ? at : 0;
    }

    /// <summary>The first point after a point that has another owner; the point itself where there is only one owner.</summary>
    public int NextOwnerAfter(int point) => _points[point].Next;

    /// <summary>The owner of a point: an index among the candidates.</summary>
    public int OwnerOf(int point) => _points[point].Owner;

    private static ReadOnlySpan<Point> Scatter(IReadOnlyList<(string Name, int Weight)> candidates, int[] counts, Point[] points)
    {
        var next = 0;
        for (var owner = 0; owner < counts.Length; owner++)
        {
            // Not GetHashCode, which differs in each process.
            var name = candidates[owner].Name.Aggregate(0UL, (hash, c) => ClientHash.Mix(hash ^ c));
            for (var i = 0; i < counts[owner]; i++)
            {
                points[next++] = new Point(ClientHash.Mix(name + (uint)i), owner, 0);
            }
        }
        return points.AsSpan(0, next);
    }

    // Hashes are spread evenly, so that one bucket for each point leaves almost nothing to sort; and Find needs the buckets.
    private Point[] Sort(ReadOnlySpan<Point> points)
    {
        foreach (var point in points)
        {
            _starts[(point.Hash >> _shift) + 1]++;
        }
        for (var bucket = 1; bucket < _starts.Length; bucket++)
        {
            _starts[bucket] += _starts[bucket - 1];
        }
        var sorted = new Point[points.Length];
        var next = ArrayPool<int>.Shared.Rent(_starts.Length);
        _starts.CopyTo(next.AsSpan());
        foreach (var point in points)
        {
            sorted[next[point.Hash >> _shift]++] = point;
        }
        ArrayPool<int>.Shared.Return(next);
        for (var i = 1; i < sorted.Length; i++)
        {
            var (point, at) = (sorted[i], i);
            for (; at > 0 && sorted[at - 1].Hash > point.Hash; at--)
            {
                sorted[at] = sorted[at - 1];
            }
            sorted[at] = point;
        }
        LinkOwners(sorted);
        return sorted;
    }

    // Twice around: what follows the last point is known when the first one is.
    private static void LinkOwners(Point[] points)
    {
        for (var i = 2 * points.Length - 2; i >= 0; i--)
        {
            var (at, after) = (i % points.Length, (i + 1) % points.Length);
            points[at].Next = points[after].Owner != points[at].Owner ? after : points[after].Next;
        }
    }

    private record struct Point(ulong Hash, int Owner, int Next);
}
