using System.Globalization;

namespace LoadBalancer.Acme;

/// <summary>What an authority says, for one line of a log and for the dashboard.</summary>
internal static class AcmeText
{
    private const int Longest = 300;

    /// <summary>The text without what would break a line or change the direction of what follows, and not too long.</summary>
    public static string Clean(string text)
    {
        var line = new string([.. text.Take(Longest).Select(c => IsPrintable(c) ? c : ' ')]);
        return text.Length > Longest ? line + "…" : line;
    }

    private static bool IsPrintable(char c) => char.GetUnicodeCategory(c) is not (UnicodeCategory.Control or UnicodeCategory.Format
        or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Surrogate
        or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned);
}
