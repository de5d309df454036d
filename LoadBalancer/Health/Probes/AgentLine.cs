using System.Globalization;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Probes;

/// <summary>
/// The line of an agent (HAProxy's manual, <c>agent-check</c>): words in any order, between blanks, tabs or commas; after <c>#</c> comes a
/// description. What it does not mention stays as it was. Letter case does not matter, and unknown words are ignored.
/// </summary>
internal static class AgentLine
{
    private const string Limit = "maxconn:";
    private const int MaxShown = 100;

    /// <summary>Reads a line.</summary>
    /// <param name="line">The line.</param>
    /// <param name="before">What the agent has said before.</param>
    /// <returns>What holds now, and whether the line says so itself whether the server is up or down.</returns>
    public static (AgentReport Report, bool IsCertain) Read(string line, AgentReport before)
    {
        var (report, isCertain) = (before, false);
        var description = line.IndexOf('#', StringComparison.Ordinal);
        var words = description < 0 ? line : line[..description];
        foreach (var word in words.Split([' ', '\t', '\r', ','], StringSplitOptions.RemoveEmptyEntries))
        {
            switch (word.ToLowerInvariant())
            {
                case "up":
                    (report, isCertain) = (report with { Down = null }, true);
                    break;
                case "down" or "fail" or "failed" or "stopped":
                    (report, isCertain) = (report with { Down = word }, true);
                    break;
                case "ready":
                    report = report with { State = AdminState.Ready };
                    break;
                case "drain":
                    report = report with { State = AdminState.Draining };
                    break;
                case "maint":
                    report = report with { State = AdminState.Disabled };
                    break;
                case [.. var digits, '%'] when TryReadNumber(digits, out var share):
                    report = report with { Share = share };
                    break;
                case var limited when limited.StartsWith(Limit, StringComparison.Ordinal)
                    && TryReadNumber(limited[Limit.Length..], out var limit):
                    report = report with { Limit = limit == 0 ? null : limit };
                    break;
            }
        }
        return (report, isCertain);
    }

    /// <summary>A line as logs and status pages show it: without control characters, and not too long.</summary>
    public static string Shown(string line)
    {
        var shown = new string([.. line.Take(MaxShown).Select(c => char.IsControl(c) ? ' ' : c)]);
        return line.Length > MaxShown ? shown + "…" : shown;
    }

    private static bool TryReadNumber(string digits, out int number) =>
        int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
