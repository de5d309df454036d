using System.Globalization;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Transforms;

/// <summary>
/// What a client says in Accept-Encoding (RFC 9110 section 12.5.3). The framework's own reading takes <c>br;q=0, *</c> for a client that
/// accepts Brotli.
/// </summary>
internal static class AcceptedCodings
{
    private const string Identity = "identity";

    /// <summary>Finds the coding that the client likes best; of equal ones the first, and each rather than none.</summary>
    /// <param name="accepted">The field's lines.</param>
    /// <param name="offered">The names of the codings, the preferred one first.</param>
    /// <returns>Its index; -1 where the body is to be sent as it is.</returns>
    public static int Choose(StringValues accepted, ReadOnlySpan<string> offered)
    {
        var (best, bestWeight) = (-1, double.Epsilon);
        if (accepted.Count == 0)
        {
            return best;
        }
        var rest = WeightOf(accepted, "*") ?? 0;
        var least = WeightOf(accepted, Identity) ?? 0;
        for (var i = 0; i < offered.Length; i++)
        {
            var weight = WeightOf(accepted, offered[i]) ?? rest;
            if (weight >= least && (best < 0 ? weight >= bestWeight : weight > bestWeight))
            {
                (best, bestWeight) = (i, weight);
            }
        }
        return best;
    }

    // The first entry of a name counts; null where there is none.
    private static double? WeightOf(StringValues accepted, ReadOnlySpan<char> name)
    {
        foreach (var line in accepted)
        {
            foreach (var range in line.AsSpan().Split(','))
            {
                var entry = line.AsSpan()[range];
                var end = entry.IndexOf(';');
                var coding = (end < 0 ? entry : entry[..end]).Trim();
                // RFC 9110 section 8.4.1.3: x-gzip is gzip.
                if (coding.Equals(name, StringComparison.OrdinalIgnoreCase)
                    || name is "gzip" && coding.Equals("x-gzip", StringComparison.OrdinalIgnoreCase))
                {
                    return end < 0 ? 1 : Weight(entry[(end + 1)..].Trim());
                }
            }
        }
        return null;
    }

    // A weight that is none is 0: better too large than unreadable.
    private static double Weight(ReadOnlySpan<char> parameter)
    {
        if (parameter is not ['q' or 'Q', ..] || parameter[1..].TrimStart() is not ['=', .. var value])
        {
            return 0;
        }
        return double.TryParse(value.Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var weight)
            && weight <= 1 ? weight : 0;
    }
}
