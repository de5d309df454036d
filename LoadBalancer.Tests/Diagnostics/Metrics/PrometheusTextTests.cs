using LoadBalancer.Broker;
using LoadBalancer.Diagnostics.Metrics;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Diagnostics.Metrics;

/// <summary>The text of the metrics, read as strictly as Prometheus and promtool read it.</summary>
internal sealed class PrometheusTextTests
{
    private static readonly BrokerStatus Broker = new(
        "store", "store", "Main", "127.0.0.2", TimeSpan.FromSeconds(0.5), null, 3, 2, 1, false, [("Clients", "NotZmtp", 7)]);

    private static readonly NodeCounts Node = new(1, 2, 3, [("web", 4), ("odd \"name\"\\", 5)]) { Brokers = [Broker] };

    [Test]
    public void Of_PoolsWithOddNames_IsValidToTheLetter()
    {
        var metrics = Parse([PoolNamed("web"), PoolNamed("odd \"name\" \\ with\nline end")], Node);

        metrics.Keys.Should().Contain(
            "loadbalancer_requests_total", "loadbalancer_request_duration_seconds", "loadbalancer_backend_healthy",
            "loadbalancer_backend_in_flight");
        metrics["loadbalancer_requests_total"].Samples.Should().Contain(
            sample => sample.Labels["pool"] == "odd \"name\" \\ with\nline end" && sample.Labels["code"] == "200" && sample.Value == 2);
        metrics["loadbalancer_config_reloads_total"].Samples.Select(sample => (sample.Labels["result"], sample.Value))
            .Should().Equal(("success", 1), ("error", 2));
        metrics["loadbalancer_connections_refused_total"].Samples.Select(sample => sample.Value).Should().Equal(4, 5);
        metrics["loadbalancer_broker_main"].Samples.Should().ContainSingle(
            sample => sample.Labels["listener"] == "store" && sample.Value == 1);
        metrics["loadbalancer_broker_refused_total"].Samples.Should().ContainSingle(
            sample => sample.Labels["reason"] == "NotZmtp" && sample.Value == 7);
        metrics["loadbalancer_broker_health_check_age_seconds"].Samples.Single().Value.Should().Be(0.5);
        metrics.Should().ContainKey("loadbalancer_broker_alternative_ping_age_seconds")
            .WhoseValue.Samples.Should().BeEmpty("there is no alternative");
    }

    [Test]
    public void Of_Histogram_IsCumulativeAndEndsWithAll()
    {
        var samples = Parse([PoolNamed("web")], Node)["loadbalancer_request_duration_seconds"].Samples
            .Where(sample => sample.Labels["backend"] == "a").ToList();

        var buckets = samples.Where(sample => sample.Name.EndsWith("_bucket")).ToList();
        buckets.Select(bucket => bucket.Labels["le"]).Should().Equal(
            "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "+Inf");
        buckets.Select(bucket => bucket.Value).Should().BeInAscendingOrder().And.Equal(0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3);
        samples.Single(sample => sample.Name.EndsWith("_count")).Value.Should().Be(3);
        samples.Single(sample => sample.Name.EndsWith("_sum")).Value.Should().BeApproximately(72.03, 1e-9);
    }

    [Test]
    public void Of_RelayedPool_HasConnectionsAndBytes()
    {
        var pool = PoolNamed("logic");
        pool.IsRelayed = true;
        var connections = pool.Snapshot.Members[0].Connections;
        connections.CountIn(10);
        connections.CountOut(20);
        connections.Count(ConnectionEnd.BackendReset);
        pool.Statistics.Connections.Count(ConnectionEnd.Unavailable);

        var metrics = Parse([pool], Node);

        metrics["loadbalancer_connections_total"].Samples
            .Select(sample => (sample.Labels["backend"], sample.Labels["result"], sample.Value))
            .Should().Equal(("a", "backend_reset", 1), ("", "unavailable", 1));
        metrics["loadbalancer_bytes_total"].Samples.Select(sample => (sample.Labels["direction"], sample.Value))
            .Should().Equal(("in", 10), ("out", 20));
    }

    [Test]
    public void Of_NoPools_IsValidToo() => Parse([], new NodeCounts(0, 0, 0, [])).Keys.Should().Contain("process_cpu_seconds_total");

    private static Dictionary<string, ParsedMetric> Parse(IReadOnlyList<BackendPool> pools, NodeCounts node)
    {
        using var metrics = new NodeMetrics(() => pools, () => node);
        metrics.Include(brokers: node.Brokers.Count > 0, tasks: false, cluster: false);
        return ParsedMetric.All(PrometheusText.Of(metrics));
    }

    private static BackendPool PoolNamed(string name)
    {
        var backend = TestBackends.Unprobed("a");
        var pool = new BackendPool(name, new LoadBalancer.Balancing.RoundRobinPolicy(), [backend]);
        backend.Answers.Count(200, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(30));
        backend.Answers.Count(200, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(2));
        backend.Answers.Count(999, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(70));
        return pool;
    }
}
