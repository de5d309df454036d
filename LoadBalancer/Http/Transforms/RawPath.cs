using System.Globalization;
using System.Text;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Transforms;

/// <summary>Reads paths as they were sent: percent-encoded.</summary>
internal static class RawPath
{
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
            var sent = rest[1..end];
            if (!(sent.Contains('%') ? DecodeSegment(sent) : sent).SequenceEqual(segment))
            {
                return null;
            }
            rest = rest[end..];
        }
        return rest.IsEmpty ? "/" : rest.ToString();
    }

    /// <summary>The path that routes are compared with: without dot segments, decoded as Kestrel does it.</summary>
    public static string Decode(string path) =>
        string.Join('/', DotSegments.Remove(path, isEncoded: true).Split('/').Select(segment => DecodeSegment(segment)));

    /// <summary>
    /// A path that Kestrel has decoded, with one spelling of the encoded slash: it leaves <c>%2F</c> and <c>%2f</c> as they are.
    /// </summary>
    public static string WithUpperCaseSlashes(string path) => path.Replace("%2f", "%2F", StringComparison.Ordinal);

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
        return WithUpperCaseSlashes(Encoding.UTF8.GetString(bytes.ToArray()));
    }
}
