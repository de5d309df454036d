using System.Globalization;
using System.Text.RegularExpressions;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

/// <summary>The metrics, read as strictly as Prometheus and promtool read them.</summary>
internal sealed partial class PrometheusTextTests
{
    private static readonly BrokerStatus Broker = new(
        "store", "store", "Main", "127.0.0.2", TimeSpan.FromSeconds(0.5), null, 3, 2, 1, false, [("Clients", "NotZmtp", 7)]);

    private static readonly NodeCounts Node = new(1, 2, 3, [("web", 4), ("odd \"name\"\\", 5)]) { Brokers = [Broker] };

    [Test]
    public void Of_PoolsWithOddNames_IsValidToTheLetter()
    {
        var metrics = Parse(PrometheusText.Of([PoolNamed("web"), PoolNamed("odd \"name\" \\ with\nline end")], Node));

        metrics.Keys.Should().Contain("loadbalancer_requests_total", "loadbalancer_request_duration_seconds", "loadbalancer_backend_healthy", "loadbalancer_backend_in_flight");
        metrics["loadbalancer_requests_total"].Samples.Should().Contain(sample => sample.Labels["pool"] == "odd \"name\" \\ with\nline end" && sample.Labels["code"] == "200" && sample.Value == 2);
        metrics["loadbalancer_config_reloads_total"].Samples.Select(sample => (sample.Labels["result"], sample.Value)).Should().Equal(("success", 1), ("error", 2));
        metrics["loadbalancer_connections_refused_total"].Samples.Select(sample => sample.Value).Should().Equal(4, 5);
        metrics["loadbalancer_broker_main"].Samples.Should().ContainSingle(sample => sample.Labels["listener"] == "store" && sample.Value == 1);
        metrics["loadbalancer_broker_refused_total"].Samples.Should().ContainSingle(sample => sample.Labels["reason"] == "NotZmtp" && sample.Value == 7);
        metrics["loadbalancer_broker_health_check_age_seconds"].Samples.Single().Value.Should().Be(0.5);
        metrics.Should().ContainKey("loadbalancer_broker_alternative_ping_age_seconds").WhoseValue.Samples.Should().BeEmpty("there is no alternative");
    }

    [Test]
    public void Of_Histogram_IsCumulativeAndEndsWithAll()
    {
        var samples = Parse(PrometheusText.Of([PoolNamed("web")], Node))["loadbalancer_request_duration_seconds"].Samples.Where(sample => sample.Labels["backend"] == "a").ToList();

        var buckets = samples.Where(sample => sample.Name.EndsWith("_bucket")).ToList();
        buckets.Select(bucket => bucket.Labels["le"]).Should().Equal("0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "+Inf");
        buckets.Select(bucket => bucket.Value).Should().BeInAscendingOrder().And.Equal(0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3);
        samples.Single(sample => sample.Name.EndsWith("_count")).Value.Should().Be(3);
        samples.Single(sample => sample.Name.EndsWith("_sum")).Value.Should().BeApproximately(72.03, 1e-9);
    }

    [Test]
    public void Of_RelayedPool_TellsOfConnectionsAndBytes()
    {
        var pool = PoolNamed("logic");
        pool.IsRelayed = true;
        var connections = pool.Snapshot.Members[0].Connections;
        connections.CountIn(10);
        connections.CountOut(20);
        connections.Count(ConnectionEnd.BackendReset);
        pool.Statistics.Connections.Count(ConnectionEnd.Unavailable);

        var metrics = Parse(PrometheusText.Of([pool], Node));

        metrics["loadbalancer_connections_total"].Samples.Select(sample => (sample.Labels["backend"], sample.Labels["result"], sample.Value)).Should().Equal(("a", "backend_reset", 1), ("", "unavailable", 1));
        metrics["loadbalancer_bytes_total"].Samples.Select(sample => (sample.Labels["direction"], sample.Value)).Should().Equal(("in", 10), ("out", 20));
    }

    [Test]
    public void Of_NoPools_IsValidToo() => Parse(PrometheusText.Of([], new NodeCounts(0, 0, 0, []))).Keys.Should().Contain("process_cpu_seconds_total");

    private static BackendPool PoolNamed(string name)
    {
        var backend = TestBackends.Unprobed("a");
        var pool = new BackendPool(name, new LoadBalancer.Balancing.RoundRobinPolicy(), [backend]);
        backend.Answers.Count(200, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(30));
        backend.Answers.Count(200, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(2));
        backend.Answers.Count(999, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(70));
        return pool;
    }

    // Each metric has one HELP, one TYPE, and all its samples behind them, none of which stands twice.
    private static Dictionary<string, Metric> Parse(string text)
    {
        text.Should().EndWith("\n").And.NotContain("\r");
        var metrics = new Dictionary<string, Metric>();
        Metric? current = null;
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
                metrics[helped!] = current = new Metric(helped!, type.Groups[2].Value, []);
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
                    pair => pair.Groups[1].Value, pair => Escape().Replace(pair.Groups[2].Value, escape => escape.Value switch { "\\n" => "\n", "\\\\" => "\\", _ => "\"" }));
                var value = double.Parse(sample.Groups[3].Value, NumberStyles.Float, CultureInfo.InvariantCulture);
                value.Should().BeGreaterThanOrEqualTo(0);
                current.Lines.Add($"{name}{sample.Groups[2].Value}").Should().BeTrue($"'{line}' stands once");
                current.Samples.Add(new Sample(name, labels, value));
            }
        }
        return metrics;
    }

    [GeneratedRegex(@"^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$")]
    private static partial Regex HelpLine();

    [GeneratedRegex(@"^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$")]
    private static partial Regex TypeLine();

    [GeneratedRegex("""^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*")(?:,[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\["\\n])*")*\})? ([0-9.]+(?:E[+-]?[0-9]+)?)$""")]
    private static partial Regex SampleLine();

    [GeneratedRegex("""([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)""")]
    private static partial Regex LabelPair();

    [GeneratedRegex("""\\["\\n]""")]
    private static partial Regex Escape();

    [GeneratedRegex("_(bucket|sum|count)$")]
    private static partial Regex HistogramSuffix();

    private sealed record Metric(string Name, string Type, List<Sample> Samples)
    {
        public HashSet<string> Lines { get; } = [];
    }

    private sealed record Sample(string Name, Dictionary<string, string> Labels, double Value);
}
