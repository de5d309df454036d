namespace LoadBalancer.Http.Messages;

/// <summary>The segments <c>.</c> and <c>..</c> of a path (RFC 3986 section 5.2.4). An empty segment is a segment too.</summary>
internal static class DotSegments
{
    /// <summary>Whether a path, as it was sent, has one in any spelling.</summary>
    public static bool AreIn(ReadOnlySpan<char> path)
    {
        foreach (var range in path.Split('/'))
        {
            if (Dots(path[range], isEncoded: true) > 0)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>The path without them; all else stays as it is.</summary>
    /// <param name="path">The path, which begins with a slash.</param>
    /// <param name="isEncoded">Whether it is percent-encoded, so that <c>%2e</c> is a dot.</param>
    public static string Remove(ReadOnlySpan<char> path, bool isEncoded)
    {
        var segments = path.ToString().Split('/')[1..];
        var kept = new List<string>(segments.Length);
        foreach (var (i, segment) in segments.Index())
        {
            var dots = Dots(segment, isEncoded);
            if (dots == 2 && kept.Count > 0)
            {
                kept.RemoveAt(kept.Count - 1);
            }
            if (dots == 0)
            {
                kept.Add(segment);
            }
            else if (i == segments.Length - 1)
            {
                kept.Add(""); // It names a directory.
            }
        }
        return "/" + string.Join('/', kept);
    }

    private static int Dots(ReadOnlySpan<char> segment, bool isEncoded) => segment switch
    {
        "." => 1,
        ".." => 2,
        { Length: >= 3 and <= 6 } when isEncoded =>
            Dots(segment.ToString().Replace("%2e", ".", StringComparison.OrdinalIgnoreCase), isEncoded: false),
        _ => 0,
    };
}
