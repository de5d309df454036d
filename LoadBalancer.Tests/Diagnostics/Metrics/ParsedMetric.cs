using System.Globalization;
using System.Text.RegularExpressions;

namespace LoadBalancer.Tests.Diagnostics.Metrics;

/// <summary>A metric as a strict reader of Prometheus' text format finds it.</summary>
internal sealed partial record ParsedMetric(string Name, string Type, List<ParsedSample> Samples)
{
    private HashSet<string> Lines { get; } = [];

    /// <summary>Reads a whole text. Each metric has one HELP, one TYPE, then all of its samples, each of them once.</summary>
    public static Dictionary<string, ParsedMetric> All(string text)
    {
        text.Should().EndWith("\n").And.NotContain("\r");
        var metrics = new Dictionary<string, ParsedMetric>();
        ParsedMetric? current = null;
        string? helped = null;
        foreach (var line in text.TrimEnd('\n').Split('\n'))
        {
            if (HelpLine().Match(line) is { Success: true } help)
            {
                helped = help.Groups[1].Value;
                metrics.Should().NotContainKey(helped, "a metric's lines stand together");
            }
            else if (TypeLine().Match(line) is { Success: true } type)
            {
                type.Groups[1].Value.Should().Be(helped, "TYPE follows HELP");
                metrics[helped!] = current = new ParsedMetric(helped!, type.Groups[2].Value, []);
            }
            else
            {
                var sample = SampleLine().Match(line);
                sample.Success.Should().BeTrue($"'{line}' is a sample");
                var name = sample.Groups[1].Value;
                var bare = current!.Type == "histogram" ? HistogramSuffix().Replace(name, "") : name;
                bare.Should().Be(current.Name);
                (current.Type == "counter").Should().Be(current.Name.EndsWith("_total"), "counters, and nothing else, end in _total");
                var labels = LabelPair().Matches(sample.Groups[2].Value).ToDictionary(
                    pair => pair.Groups[1].Value,
                    pair => Escape().Replace(
                        pair.Groups[2].Value, escape => escape.Value switch { "\\n" => "\n", "\\\\" => "\\", _ => "\"" }));
                var value = double.Parse(sample.Groups[3].Value, NumberStyles.Float, CultureInfo.InvariantCulture);
                value.Should().BeGreaterThanOrEqualTo(0);
                current.Lines.Add($"{name}{sample.Groups[2].Value}").Should().BeTrue($"'{line}' stands once");
                current.Samples.Add(new ParsedSample(name, labels, value));
            }
        }
        return metrics;
    }

    [GeneratedRegex(@"^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$")]
    private static partial Regex HelpLine();

    [GeneratedRegex(@"^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$")]
    private static partial Regex TypeLine();

    private const string Label = """[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*\x22""";

    [GeneratedRegex($$"""^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{{{Label}}(?:,{{Label}})*\})? ([0-9.]+(?:E[+-]?[0-9]+)?)$""")]
    private static partial Regex SampleLine();

    [GeneratedRegex("""([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)""")]
    private static partial Regex LabelPair();

    [GeneratedRegex("""\\["\\n]""")]
    private static partial Regex Escape();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex HistogramSuffix();
}

/// <summary>One line of a metric.</summary>
internal sealed record ParsedSample(string Name, Dictionary<string, string> Labels, double Value);
