using System.Globalization;

namespace LoadBalancer.Configuration.Options;

/// <summary>A host name as certificates have it: lower case, A-labels (RFC 5890 section 2.3.2.1), no dot at the end.</summary>
internal static class DnsName
{
    private const int LongestName = 253;
    private const int LongestLabel = 63;

    /// <summary>The name, normalised; null where the text is none: a wildcard, an address, a wrong character.</summary>
    public static string? TryRead(string text)
    {
        var name = text.EndsWith('.') ? text[..^1] : text;
        try
        {
            name = System.Text.Ascii.IsValid(name) ? name.ToLowerInvariant() : new IdnMapping().GetAscii(name.ToLowerInvariant());
        }
        catch (ArgumentException)
        {
            return null;
        }
        var labels = name.Split('.');
        // A last label of digits alone would be read as an address (RFC 3696 section 2).
        return name.Length <= LongestName && Array.TrueForAll(labels, IsLabel) && !labels[^1].All(char.IsAsciiDigit) ? name : null;
    }

    // RFC 1123 section 2.1.
    private static bool IsLabel(string label) =>
        label.Length is > 0 and <= LongestLabel && label[0] != '-' && label[^1] != '-'
        && label.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '-');
}
