using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Deploy;

/// <summary>A real Prometheus that reads a node under load: what it makes of the alert rules and of the dashboard's queries.</summary>
internal sealed class PrometheusTests
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);
    private static readonly string Rules = Path.Combine(Repository.Root, "deploy", "prometheus", "loadbalancer.rules.yml");

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Queries_NodeThatHasEverythingUnderLoad_EachHasData()
    {
        using var certificates = new TestCertificates();
        await using var good = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var failing = RawServer.Answering("HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n");
        await using var raw = new RawServer(async (peer, _) => await peer.SendAsync("hello"));
        var (tasks, workers, heartbeats) = (ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next(2));
        await using var node = await ConfiguredNode.StartRawAsync(
            Configuration(certificates, good, failing, raw, tasks, workers, heartbeats));
        await using var prometheus = await PrometheusServer.StartAsync(node.Management.BaseAddress!.Authority, Rules);
        await using var web = new Load($"http://127.0.0.1:{node.Port}/", Pause);
        await using var limited = new Load($"http://127.0.0.1:{node.Port}/limited", Pause);
        await using var mirrored = new Load($"http://127.0.0.1:{node.Port}/mirrored", Pause);
        using var worker = await LinePeer.ConnectAsync(workers);
        await worker.SendAsync("REGISTER|w|1");
        _ = worker.WorkAsync(data => data);
        using var stop = new CancellationTokenSource();
        var others = UseOthersAsync(new Uri(node.Listeners[1].Address).Port, tasks, heartbeats, stop.Token);
        await node.Management.PatchAsJsonAsync("/api/pools/web/backends/drained", new { adminState = "Draining" });

        GrafanaDashboard.Queries.Should().HaveCountGreaterThan(50);
        foreach (var query in GrafanaDashboard.Queries)
        {
            await Eventually.BeTrueAsync(
                async () => (await prometheus.QueryAsync(query)).Exists(value => value != "NaN"), $"'{query}' has data");
        }

        await Eventually.BeTrueAsync(
            async () => (await RulesAsync(prometheus)).All(rule => (string)rule["health"]! != "unknown"), "each rule has been evaluated");
        (await RulesAsync(prometheus)).Should().OnlyContain(rule => (string)rule["health"]! == "ok").And.HaveCountGreaterThan(20);
        await stop.CancelAsync();
        await others;
    }

    // A certificate that expires tomorrow, so that an alert fires.
    private static string Configuration(
        TestCertificates certificates, RawServer good, RawServer failing, RawServer raw, int tasks, int workers, int heartbeats)
    {
        var broker = ReservedPorts.Next(6);
        var certificate = certificates.IssueUntil(TimeProvider.System.GetUtcNow().AddDays(1), "web", "localhost");
        return $$"""
            { "LoadBalancer": {
                "Management": { "Address": "http://127.0.0.1:0" },
                "RateLimits": { "one": { "Permits": 1, "Window": "01:00:00" } },
                "Listeners": {
                    "web": { "Address": "http://127.0.0.1:0", "Pool": "web", "Routes": [
                        { "Name": "limited", "Path": "/limited", "Pool": "web", "RateLimit": "one" },
                        { "Name": "mirrored", "Path": "/mirrored", "Pool": "web", "Mirror": { "Pool": "named", "Share": 1 } } ] },
                    "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:0", "Pool": "raw" },
                    "tls": { "Address": "https://127.0.0.1:0", "Pool": "web",
                        "Certificates": [ { "File": "{{certificate.File}}", "KeyFile": "{{certificate.KeyFile}}" } ] },
                    "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:{{tasks}}",
                        "WorkerAddress": "tcp://127.0.0.1:{{workers}}", "Pool": "tasks" },
                    "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store", "PublishInterval": "00:00:00.1",
                        "PeerTimeout": "00:00:01", "AlternativeAddress": "127.0.0.2",
                        "Ports": {{StorePorts.JsonFrom(broker)}} } },
                "Pools": {
                    "web": { "PassiveHealth": { "Failures": 1000000, "Outliers": {} }, "Backends": {
                        "good": { "Address": "{{good.Address}}", "MaxInFlight": 50 },
                        "failing": { "Address": "{{failing.Address}}" },
                        "drained": { "Address": "{{good.Address}}" } } },
                    "named": { "Backends": { "good": { "Address": "http://localhost:{{good.Port}}" } } },
                    "raw": { "Heartbeat": { "Address": "udp://127.0.0.1:{{heartbeats}}" }, "Backends": {
                        "b": { "Address": "tcp://127.0.0.1:{{raw.Port}}", "HeartbeatAddress": "udp://127.0.0.1:{{heartbeats + 1}}" } } },
                    "tasks": {}, "store": {} } } }
            """;
    }

    // Connections, tasks and heartbeats, again and again.
    private static async Task UseOthersAsync(int raw, int tasks, int heartbeats, CancellationToken cancellationToken)
    {
        using var backend = new UdpClient(new IPEndPoint(IPAddress.Loopback, heartbeats + 1));
        using var client = await LinePeer.ConnectAsync(tasks);
        for (var i = 0; !cancellationToken.IsCancellationRequested; i++)
        {
            await backend.SendAsync("OK"u8.ToArray(), new IPEndPoint(IPAddress.Loopback, heartbeats), default);
            await client.SendAsync($"TASK|{i}|x");
            await client.ReadAsync();
            using var peer = await RawPeer.ConnectAsync(raw);
            await peer.ReadUntilAsync("hello");
            await Task.Delay(Pause, TimeProvider.System, default);
        }
    }

    private static async Task<List<JsonNode>> RulesAsync(PrometheusServer prometheus) =>
        [.. (await prometheus.GetAsync("rules"))["groups"]!.AsArray().SelectMany(group => group!["rules"]!.AsArray()).OfType<JsonNode>()];
}
