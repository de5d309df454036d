using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Deploy;

/// <summary>
/// The alert rules for Prometheus and the dashboard for Grafana: they are valid, and fit the metrics and docs/monitoring.md.
/// </summary>
internal sealed partial class DeployedFilesTests
{
    private static readonly string Folder = Path.Combine(Repository.Root, "deploy", "prometheus");
    private static readonly string Rules = File.ReadAllText(Path.Combine(Folder, "loadbalancer.rules.yml"));

    [TestCase("check", "rules", "loadbalancer.rules.yml")]
    [TestCase("check", "config", "prometheus.yml")]
    [TestCase("test", "rules", "loadbalancer.test.yml")]
    public async Task File_OfPrometheus_PassesPromtool(string verb, string kind, string file)
    {
        var promtool = InstalledProgram.Find("promtool", "prometheus");

        (await InstalledProgram.RunAsync(promtool, "", verb, kind, Path.Combine(Folder, file))).Should().Contain("SUCCESS");
    }

    [Test]
    public void Tests_OfTheRules_TryEachAlert()
    {
        var tests = File.ReadAllText(Path.Combine(Folder, "loadbalancer.test.yml"));

        var tried = TriedAlert().Matches(tests).Select(match => match.Groups[1].Value);

        tried.Should().Contain(Alerts().Select(alert => alert.Name)).And.OnlyContain(name => Rules.Contains(name));
    }

    [Test]
    public void Document_Always_ListsEachAlertWithItsSeverity()
    {
        var document = File.ReadAllText(Path.Combine(Repository.Root, "docs", "monitoring.md"));

        DocumentedAlert().Matches(document).Select(row => (row.Groups[1].Value, row.Groups[2].Value)).Should().Equal(Alerts());
    }

    [Test]
    public void Queries_OfRulesAndDashboard_NameMetricsThatThereAre()
    {
        var document = File.ReadAllText(Path.Combine(Repository.Root, "docs", "management.md"));
        var names = Metric().Matches(Rules + string.Join('\n', GrafanaDashboard.Queries)).Select(match => match.Value)
            .Where(name => name != "loadbalancer_").Distinct().ToList();

        names.Should().HaveCountGreaterThan(30).And.OnlyContain(
            name => document.Contains($"| `{name}` |") || document.Contains($"| `{HistogramSuffix().Replace(name, "")}` | histogram |"));
    }

    [Test]
    public void Panels_OfTheDashboard_HaveTheirOwnPlaceAndSayWhatTheyShow()
    {
        var panels = GrafanaDashboard.Panels;

        panels.Select(panel => (int)panel["id"]!).Should().OnlyHaveUniqueItems();
        panels.SelectMany(Cells).Should().OnlyHaveUniqueItems("panels do not overlap").And.OnlyContain(cell => cell.X < 24);
        panels.Where(panel => (string)panel["type"]! != "row").Should().OnlyContain(panel => $"{panel["description"]}".EndsWith('.'));
    }

    private static IEnumerable<(int X, int Y)> Cells(JsonNode panel)
    {
        int At(string name) => (int)panel["gridPos"]![name]!;
        return from x in Enumerable.Range(At("x"), At("w"))
               from y in Enumerable.Range(At("y"), At("h"))
               select (x, y);
    }

    private static IEnumerable<(string Name, string Severity)> Alerts() =>
        Alert().Matches(Rules).Select(match => (match.Groups[1].Value, match.Groups[2].Value));

    [GeneratedRegex("- alert: ([A-Za-z]+)\n.*?severity: ([a-z]+)", RegexOptions.Singleline)]
    private static partial Regex Alert();

    [GeneratedRegex("alertname=\"(LoadBalancer[A-Za-z]+)\"")]
    private static partial Regex TriedAlert();

    [GeneratedRegex("^\\| `(LoadBalancer[A-Za-z]+)` \\| ([a-z]+) \\|", RegexOptions.Multiline)]
    private static partial Regex DocumentedAlert();

    [GeneratedRegex("\\b(?:loadbalancer|process)_[a-z_]+")]
    private static partial Regex Metric();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex HistogramSuffix();
}
