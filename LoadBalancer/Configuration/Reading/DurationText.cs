using System.Globalization;

namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// Reads durations: a number with its unit (<c>500ms</c>, <c>30s</c>, <c>5m</c>, <c>1h</c>), or all three parts (<c>00:00:30</c>, with
/// days and fractions of a second where needed: <c>1.00:00:00.500</c>).
/// </summary>
internal static class DurationText
{
    /// <summary>What a duration looks like, in words.</summary>
    public const string Expected = "a duration, for example 500ms, 30s, 5m, 1h or 00:00:30";

    private static readonly CultureInfo Invariant = CultureInfo.InvariantCulture;

    // The longer one first where one ends like another.
    private static readonly (string Name, TimeSpan Length)[] Units =
    [
        ("ms", TimeSpan.FromMilliseconds(1)), ("s", TimeSpan.FromSeconds(1)), ("m", TimeSpan.FromMinutes(1)), ("h", TimeSpan.FromHours(1)),
    ];

    /// <summary>The duration; null where the text is none.</summary>
    /// <param name="text">What the configuration says.</param>
    /// <param name="reason">What is wrong, where more can be said than what was expected; else null.</param>
    public static TimeSpan? Parse(string text, out string? reason)
    {
        reason = null;
        switch (text.Count(c => c == ':'))
        {
            case 0:
                reason = IsNumber(text, out _) ? $"'{text}' has no unit; expected {Expected}" : null;
                return ParseWithUnit(text);
            case 1:
                reason = AmbiguityOf(text);
                return null;
            default:
                return TimeSpan.TryParse(text, Invariant, out var duration) ? duration : null;
        }
    }

    private static TimeSpan? ParseWithUnit(string text)
    {
        var unit = Units.FirstOrDefault(unit => text.EndsWith(unit.Name, StringComparison.OrdinalIgnoreCase));
        return unit.Name is not null && IsNumber(text[..^unit.Name.Length], out var number)
            && Math.Abs(number) < TimeSpan.MaxValue / unit.Length ? number * unit.Length : null;
    }

    // For TimeSpan 1:30 is an hour and a half; many people mean a minute and a half.
    private static string? AmbiguityOf(string text) =>
        TimeSpan.TryParse("0:" + text, Invariant, out var shorter) && TimeSpan.TryParse(text + ":0", Invariant, out var longer)
            ? $"'{text}' can be read as minutes:seconds ({shorter}) or as hours:minutes ({longer}); expected all three parts, or a number "
              + "with its unit, for example 30s, 5m or 1h"
            : null;

    private static bool IsNumber(string text, out double number) =>
        double.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, Invariant, out number);
}
