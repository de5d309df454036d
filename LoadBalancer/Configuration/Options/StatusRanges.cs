using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace LoadBalancer.Configuration.Options;

/// <summary>A set of HTTP statuses, written as a list of statuses and ranges: <c>200-299,401</c>.</summary>
internal sealed class StatusRanges
{
    private readonly ImmutableArray<(int First, int Last)> _ranges;

    private StatusRanges(IEnumerable<(int First, int Last)> ranges) => _ranges = [.. ranges];

    /// <summary>Reads a list.</summary>
    /// <returns>False where a part is no status from 200 to 599, or a range runs backwards.</returns>
    public static bool TryParse(string text, [NotNullWhen(true)] out StatusRanges? ranges)
    {
        var parts = text.Split(',').Select(Range).ToList();
        ranges = parts.Contains(null) ? null : new StatusRanges(parts.OfType<(int, int)>());
        return ranges is not null;
    }

    /// <summary>Whether a status is one of them.</summary>
    public bool Contains(int status)
    {
        foreach (var (first, last) in _ranges)
        {
            if (status >= first && status <= last)
            {
                return true;
            }
        }
        return false;
    }

    private static (int First, int Last)? Range(string part)
    {
        var ends = part.Split('-');
        return ends.Length <= 2 && Status(ends[0]) is { } first && Status(ends[^1]) is { } last && first <= last ? (first, last) : null;
    }

    private static int? Status(string text) =>
        int.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out var status) && status is >= 200 and <= 599
            ? status : null;
}
