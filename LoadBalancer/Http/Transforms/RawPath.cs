using System.Globalization;
using System.Text;

namespace LoadBalancer.Http.Transforms;

/// <summary>Reads paths as they were sent: percent-encoded, with dot segments.</summary>
internal static class RawPath
{
    /// <summary>Whether a path has a segment <c>.</c> or <c>..</c>, in any spelling.</summary>
    public static bool HasDotSegments(ReadOnlySpan<char> path)
    {
        foreach (var range in path.Split('/'))
        {
            if (Dots(path[range]) > 0)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>The path without its dot segments (RFC 3986 section 5.2.4); all else stays as it was sent.</summary>
    public static string RemoveDotSegments(ReadOnlySpan<char> path)
    {
        if (!HasDotSegments(path))
        {
            return path.ToString();
        }
        var segments = path.ToString().Split('/')[1..];
        var result = new List<string>(segments.Length);
        foreach (var (i, segment) in segments.Index())
        {
            var dots = Dots(segment);
            if (dots == 2 && result.Count > 0)
            {
                result.RemoveAt(result.Count - 1);
            }
            if (dots == 0)
            {
                result.Add(segment);
            }
            else if (i == segments.Length - 1)
            {
                result.Add(""); // It names a directory.
            }
        }
        return "/" + string.Join('/', result);
    }

    /// <summary>The path after its first segments, which must be these when they are decoded; null where they are not.</summary>
    public static string? WithoutPrefix(ReadOnlySpan<char> path, string[] prefix)
    {
        var rest = path;
        foreach (var segment in prefix)
        {
            if (rest is not ['/', ..])
            {
                return null;
            }
            var end = rest[1..].IndexOf('/') is >= 0 and var slash ? slash + 1 : rest.Length;
            if (DecodeSegment(rest[1..end]) != segment)
            {
                return null;
            }
            rest = rest[end..];
        }
        return rest.IsEmpty ? "/" : rest.ToString();
    }

    /// <summary>The path that routes are compared with: without dot segments, decoded as Kestrel does it.</summary>
    public static string Decode(string path) =>
        string.Join('/', RemoveDotSegments(path).Split('/').Select(segment => DecodeSegment(segment)));

    // %2F stays, and so does what is not UTF-8.
    private static string DecodeSegment(ReadOnlySpan<char> segment)
    {
        if (!segment.Contains('%'))
        {
            return segment.ToString();
        }
        var bytes = new List<byte>(segment.Length);
        for (var i = 0; i < segment.Length; i++)
        {
            if (segment[i] == '%' && i + 2 < segment.Length
                && byte.TryParse(segment.Slice(i + 1, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value)
                && value != '/')
            {
                bytes.Add(value);
                i += 2;
            }
            else
            {
                bytes.Add((byte)segment[i]);
            }
        }
        return Encoding.UTF8.GetString(bytes.ToArray());
    }

    private static int Dots(ReadOnlySpan<char> segment) => segment switch
    {
        "." => 1,
        ".." => 2,
        { Length: < 3 or > 6 } => 0,
        _ => segment.ToString().Replace("%2e", ".", StringComparison.OrdinalIgnoreCase) switch
        {
            "." => 1,
            ".." => 2,
            _ => 0,
        },
    };
}
