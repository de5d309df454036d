namespace LoadBalancer.Configuration.Reading;

/// <summary>Finds the known name that was probably meant.</summary>
internal static class NearestName
{
    /// <summary><c>; did you mean 'Interval'?</c> where a known name is at most a third of its letters away, else nothing.</summary>
    public static string Hint(string name, IEnumerable<string> known)
    {
        var candidates = known.Select(candidate => (Name: candidate, Distance: Distance(name, candidate)));
        var nearest = candidates.DefaultIfEmpty((Name: "", Distance: int.MaxValue)).MinBy(candidate => candidate.Distance);
        return nearest.Distance <= Math.Max(1, nearest.Name.Length / 3) ? $"; did you mean '{nearest.Name}'?" : "";
    }

    /// <summary>That a key is not known, with the one that was probably meant, else with all that are expected.</summary>
    /// <param name="key">The key.</param>
    /// <param name="known">The keys that are known there.</param>
    /// <param name="expected">Those of them that are of use; null: all.</param>
    public static string UnknownKey(string key, IReadOnlyCollection<string> known, IEnumerable<string>? expected = null)
    {
        var hint = Hint(key, known);
        return "unknown key" + (hint.Length > 0 ? hint : "; expected " + string.Join(", ", expected ?? known));
    }

    // Levenshtein's distance, letter case ignored.
    private static int Distance(string a, string b)
    {
        var previous = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 0; i < a.Length; i++)
        {
            var current = new int[b.Length + 1];
            current[0] = i + 1;
            for (var j = 0; j < b.Length; j++)
            {
                var change = char.ToUpperInvariant(a[i]) == char.ToUpperInvariant(b[j]) ? 0 : 1;
                current[j + 1] = Math.Min(Math.Min(current[j] + 1, previous[j + 1] + 1), previous[j] + change);
            }
            previous = current;
        }
        return previous[^1];
    }
}
