using System.Numerics;
using LoadBalancer.Pools;

namespace LoadBalancer.Balancing;

/// <summary>
/// The points of all candidates on a circle of hashes, in order. What a candidate's points are depends on its name and its weight
/// alone, so that the coming and going of one moves no other's; the same names make the same ring in every process.
/// </summary>
internal sealed class HashRing
{
    // nginx's and HAProxy's order of magnitude: the shares of equals stray by 1 / sqrt(160), 8 %.
    private const double PointsPerWeight = 160;

    /// <summary>
    /// How many points a ring has about at the most: it is worked out in a few milliseconds. Beyond that all have fewer, which moves
    /// some of the others' clients too when the sum of the weights changes.
    /// </summary>
    internal const int MostPoints = 1 << 18;

    private readonly Point[] _points;
    private readonly int[] _starts; // by the upper bits of a hash: its first point
    private readonly int _shift;

    /// <summary>Makes a ring.</summary>
    /// <param name="candidates">The name of each and its weight.</param>
    /// <param name="unit">What a weight of one is in these weights.</param>
    public HashRing(IReadOnlyList<(string Name, int Weight)> candidates, int unit)
    {
        var wanted = candidates.Sum(candidate => candidate.Weight * PointsPerWeight / unit);
        var perWeight = PointsPerWeight / unit * Math.Min(1, MostPoints / wanted);
        var counts = candidates.Select(candidate => Math.Max(1, (int)(candidate.Weight * perWeight))).ToArray();
        var bits = Math.Max(1, BitOperations.Log2((uint)Math.Max(1, counts.Sum())));
        _shift = 64 - bits;
        _starts = new int[(1 << bits) + 1];
        _points = Sort(Scatter(candidates, counts));
    }

    /// <summary>How many points there are.</summary>
    public int Count => _points.Length;

    /// <summary>The first point at or after a hash, all around if need be. There must be one.</summary>
    public int Find(ulong hash)
    {
        var at = _starts[hash >> _shift];
        while (at < _points.Length && _points[at].Hash < hash)
        {
            at++;
        }
        return at < _points.Length ? at : 0;
    }

    /// <summary>The point after a point.</summary>
    public int After(int point) => point + 1 < _points.Length ? point + 1 : 0;

    /// <summary>Whose a point is: an index among the candidates.</summary>
    public int OwnerOf(int point) => _points[point].Owner;

    private static Point[] Scatter(IReadOnlyList<(string Name, int Weight)> candidates, int[] counts)
    {
        var points = new Point[counts.Sum()];
        var next = 0;
        for (var owner = 0; owner < counts.Length; owner++)
        {
            var name = candidates[owner].Name.Aggregate(0UL, (hash, c) => ClientHash.Mix(hash ^ c)); // not GetHashCode, which is another in each process
            for (var i = 0; i < counts[owner]; i++)
            {
                points[next++] = new Point(ClientHash.Mix(name + (uint)i), owner);
            }
        }
        return points;
    }

    // Hashes are spread evenly, so that a bucket for each point leaves next to nothing to sort; and the buckets are what Find needs.
    private Point[] Sort(Point[] points)
    {
        foreach (var point in points)
        {
            _starts[(point.Hash >> _shift) + 1]++;
        }
        for (var bucket = 1; bucket < _starts.Length; bucket++)
        {
            _starts[bucket] += _starts[bucket - 1];
        }
        var (sorted, next) = (new Point[points.Length], _starts.AsSpan().ToArray());
        foreach (var point in points)
        {
            sorted[next[point.Hash >> _shift]++] = point;
        }
        for (var i = 1; i < sorted.Length; i++)
        {
            var (point, at) = (sorted[i], i);
            for (; at > 0 && sorted[at - 1].Hash > point.Hash; at--)
            {
                sorted[at] = sorted[at - 1];
            }
            sorted[at] = point;
        }
        return sorted;
    }

    private readonly record struct Point(ulong Hash, int Owner);
}
