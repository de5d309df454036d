using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.RegularExpressions;
using LoadBalancer.Broker;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Metrics;
using LoadBalancer.Discovery;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tasks;
using LoadBalancer.Tests.Support;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace LoadBalancer.Tests.Diagnostics.Metrics;

/// <summary>One list of metrics: the text for Prometheus, OpenTelemetry and docs/management.md all have the same.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed partial class NodeMetricsTests : IDisposable
{
    private readonly BackendPool _pool = TestBackends.PoolOf(TestBackends.Unprobed("a"));
    private readonly DurationHistogram _waits = new();
    private readonly DurationHistogram _runs = new();
    private readonly NodeMetrics _metrics;
    private readonly RouteStatistics _route;

    public NodeMetricsTests()
    {
        var heartbeats = new HeartbeatStatistics();
        heartbeats.Count(HeartbeatResult.TooLong);
        var broker = new BrokerStatus(
            "store", "store", "Main", "127.0.0.2", TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(1), 3, 2, 1, IsConflict: true,
            [("Clients", "NotZmtp", 7)]);
        _metrics = new NodeMetrics(
            () => [_pool],
            () => new NodeCounts(1, 2, 3, [("web", 4)])
            {
                Heartbeats = [("pool", heartbeats)],
                Brokers = [broker],
                Certificates = [new CertificateStatus("web", "shop.pem", default, DateTimeOffset.FromUnixTimeSeconds(1_800_000_000))],
                WrongTokens = (9, 10),
                Routes = [_route!],
                Rejected = [("web", "api", "rate_limit", 11)],
                Mirrored = [("api", "answered", 13)],
                Lookups = [("web", LookupResult.Nxdomain, 14)],
                Tasks = [new TaskCounts("tasks", 5, 6, 7, 8, _waits.Read(), _runs.Read())],
            },
            $"metrics of {Guid.NewGuid()}"); // Not those of other tests' nodes.
        _metrics.Include(brokers: true, tasks: true);
        _pool.Statistics.Instruments = _metrics.Durations;
        _route = new RouteStatistics("web", "api", 1, _metrics.Durations);
        _pool.IsRelayed = true;
    }

    public void Dispose() => _metrics.Dispose();

    [Test]
    public void Readers_NodeThatHasEverything_SeeTheSame()
    {
        var exported = new Dictionary<string, double>();
        using var provider = Sdk.CreateMeterProviderBuilder()
            .AddMeter(_metrics.Meter.Name).AddReader(new BaseExportingMetricReader(new RecordingExporter(exported))).Build();

        CountEverything();
        provider.ForceFlush();
        var text = ParsedMetric.All(PrometheusText.Of(_metrics)).Values.SelectMany(metric => metric.Samples)
            .ToDictionary(
                sample => Key(sample.Name, sample.Labels.Select(label => KeyValuePair.Create(label.Key, (object?)label.Value))),
                sample => sample.Value);

        exported.Keys.Should().BeEquivalentTo(text.Keys);
        foreach (var (sample, value) in text.Where(sample => !sample.Key.StartsWith("process_", StringComparison.Ordinal)))
        {
            exported[sample].Should().BeApproximately(value, 1e-9, sample);
        }
    }

    [Test]
    public void Document_Always_ListsEveryMetricWithItsTypeAndLabels()
    {
        CountEverything();
        var metrics = ParsedMetric.All(PrometheusText.Of(_metrics)).Values;
        var document = File.ReadAllText(Path.Combine(Repository.Root, "docs", "management.md"));

        var documented = MetricRow().Matches(document)
            .Select(row => $"{row.Groups[1].Value} {row.Groups[2].Value} {row.Groups[3].Value.Replace("`", "")}".TrimEnd());

        string Labels(ParsedMetric metric) => string.Join(", ", metric.Samples[0].Labels.Keys.Where(label => label != "le"));
        documented.Should().BeEquivalentTo(metrics.Select(metric => $"{metric.Name} {metric.Type} {Labels(metric)}".TrimEnd()));
    }

    [Test]
    public async Task Of_NodeThatHasEverything_PassesPromtool()
    {
        CountEverything();
        var promtool = InstalledProgram.Find("promtool", "prometheus");

        (await InstalledProgram.RunAsync(promtool, PrometheusText.Of(_metrics), "check", "metrics"))
            .Should().BeEmpty("promtool has nothing to say against it");
    }

    [Test]
    public void Of_NobodyElseReads_NoDurationIsRecorded()
    {
        PrometheusText.Of(_metrics);

        _metrics.Durations.Requests.Enabled.Should().BeFalse();
        _metrics.Durations.TaskWaits.Enabled.Should().BeFalse();
        _metrics.Durations.TaskRuns.Enabled.Should().BeFalse();
    }

    [Test]
    public void Of_NodeWithoutBrokersAndTasks_HasNoMetricsOfThem()
    {
        using var metrics = new NodeMetrics(() => [_pool], () => new NodeCounts(0, 0, 0, []));

        ParsedMetric.All(PrometheusText.Of(metrics)).Keys.Should().NotContain(name => name.Contains("_broker") || name.Contains("_task"));
    }

    [Test]
    public void Meter_Always_HasObservedInstrumentsOnly()
    {
        var kept = new List<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter == _metrics.Meter && !instrument.IsObservable && !_metrics.Histograms.ContainsKey(instrument))
                {
                    kept.Add(instrument.Name);
                }
            },
        };
        listener.Start();

        kept.Should().BeEmpty("a reader that comes later would not see what they have counted");
    }

    // Durations that are exact in seconds, so that both readers add up the same.
    private void CountEverything()
    {
        _route.Count(204, TimeSpan.FromMilliseconds(3));
        _pool.Snapshot.Members[0].OutlierCounts = new OutlierCounts(countServerErrors: false);
        _pool.Change(() => _pool.Snapshot.Members[0].LimitTo(InFlightLimit.Auto));
        _pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        lease!.CountAnswer(200, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(0.03125));
        lease.CountAnswer(500, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(2));
        lease.CountAnswer(404, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(61));
        lease.Complete(AttemptOutcome.Failed);
        _pool.Statistics.CountOwnAnswer(503, TimeSpan.Zero, TimeSpan.Zero);
        _pool.Snapshot.Members[0].Connections.CountIn(10);
        _pool.Snapshot.Members[0].Connections.Count(ConnectionEnd.BackendReset);
        _pool.Statistics.Connections.Count(ConnectionEnd.Unavailable);
        _waits.Count(TimeSpan.FromSeconds(0.25));
        _metrics.Durations.RecordTaskWait("tasks", TimeSpan.FromSeconds(0.25));
        _runs.Count(TimeSpan.FromSeconds(4));
        _metrics.Durations.RecordTaskRun("tasks", TimeSpan.FromSeconds(4));
    }

    private static string Key(string name, IEnumerable<KeyValuePair<string, object?>> labels)
    {
        var pairs = labels.Select(label => string.Create(CultureInfo.InvariantCulture, $"{label.Key}={label.Value}")).Order();
        return $"{name}{{{string.Join(", ", pairs)}}}";
    }

    [GeneratedRegex("^\\| `((?:loadbalancer|process)_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*?) *\\|", RegexOptions.Multiline)]
    private static partial Regex MetricRow();

    /// <summary>Keeps what OpenTelemetry would send, under the names and labels that Prometheus' text has.</summary>
    private sealed class RecordingExporter(Dictionary<string, double> exported) : BaseExporter<Metric>
    {
        public override ExportResult Export(in Batch<Metric> batch)
        {
            foreach (var metric in batch)
            {
                foreach (ref readonly var point in metric.GetMetricPoints())
                {
                    Add(metric, point);
                }
            }
            return ExportResult.Success;
        }

        private void Add(Metric metric, in MetricPoint point)
        {
            var labels = new List<KeyValuePair<string, object?>>();
            foreach (var label in point.Tags)
            {
                labels.Add(label);
            }
            var name = metric.Name.Replace('.', '_');
            switch (metric.MetricType)
            {
                case MetricType.LongSum:
                    exported.Add(Key(name + (name.EndsWith("_bytes") ? "" : Unit(metric)) + "_total", labels), point.GetSumLong());
                    break;
                case MetricType.DoubleSum:
                    exported.Add(Key(name + Unit(metric) + "_total", labels), point.GetSumDouble());
                    break;
                case MetricType.LongGauge:
                    exported.Add(Key(name + Unit(metric), labels), point.GetGaugeLastValueLong());
                    break;
                case MetricType.DoubleGauge:
                    exported.Add(Key(name + Unit(metric), labels), point.GetGaugeLastValueDouble());
                    break;
                case MetricType.Histogram:
                    AddHistogram(name + Unit(metric), point, labels);
                    break;
                default:
                    throw new InvalidOperationException($"{metric.Name} is a {metric.MetricType}");
            }
        }

        // Here the histogram of requests has the status too, which Prometheus' has not: what differs in it alone is added up.
        private void AddHistogram(string name, in MetricPoint point, List<KeyValuePair<string, object?>> labels)
        {
            labels.RemoveAll(label => label.Key == "code");
            var total = 0L;
            foreach (var bucket in point.GetHistogramBuckets())
            {
                total += bucket.BucketCount;
                object bound = double.IsPositiveInfinity(bucket.ExplicitBound) ? "+Inf" : bucket.ExplicitBound;
                Increase(Key(name + "_bucket", labels.Append(new("le", bound))), total);
            }
            Increase(Key(name + "_sum", labels), point.GetHistogramSum());
            Increase(Key(name + "_count", labels), point.GetHistogramCount());
        }

        private void Increase(string key, double value) => exported[key] = exported.GetValueOrDefault(key) + value;

        private static string Unit(Metric metric) => metric.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };
    }
}
