using System.Text.Json.Nodes;
using LoadBalancer.Broker;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>Whole nodes and a real etcd.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ClusterTests
{
    private readonly List<ConfiguredNode> _nodes = [];
    private EtcdServer _etcd = null!;

    [SetUp]
    public async Task StartAsync() => _etcd = await EtcdServer.StartAsync();

    [TearDown]
    public async Task StopAsync()
    {
        foreach (var node in _nodes)
        {
            await node.DisposeAsync();
        }
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    [Test]
    public async Task Nodes_OneComesAndGoes_KnowEachOtherAndDivideTheirLimits()
    {
        var a = await StartNodeAsync("a");
        var alone = await GetAsync(a, 4);
        var b = await StartNodeAsync("b");
        await EventuallyAsync(a, cluster => cluster["nodes"]!.AsArray().Count == 2);

        var known = (await AskAsync(b))["nodes"]!.AsArray();
        var shared = await GetAsync(b, 4);
        var metrics = await a.Management.GetStringAsync("/metrics");
        await b.StopAsync();
        await EventuallyAsync(a, cluster => cluster["nodes"]!.AsArray().Count == 1);

        alone.Should().Equal(200, 200, 200, 200);
        shared.Should().Equal(200, 200, 429, 429);
        known.Select(node => $"{node!["name"]} {node["address"]}").Should().Equal($"a {AddressOf(a)}", $"b {AddressOf(b)}");
        metrics.Should().Contain("\nloadbalancer_cluster_connected 1\n");
        await a.Log.SaysAsync("cluster 'edge': node 'b' has come");
        await a.Log.SaysAsync("cluster 'edge': node 'b' has gone");
    }

    [Test]
    public async Task Reload_AcmeComesWithoutASecretAtTheStart_IsRefused()
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory.File("secret"), new string('s', 32));
        string Configuration(string cluster, string listener) => $$"""
            { "LoadBalancer": {
                "Cluster": { "Name": "edge", "Node": "a", "Etcd": [ "{{_etcd.Address}}" ], "LeaseTime": "2s"{{cluster}},
                    "StateDirectory": "{{directory.File("state")}}" },
                "Listeners": { "plain": { "Address": "http://127.0.0.1:0", "Pool": "web" }{{listener}} },
                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } } } }
            """;
        await using var node = await ConfiguredNode.StartRawAsync(Configuration("", ""));

        var adding = () => node.ApplyAsync(Configuration($", \"SecretFile\": \"{directory.File("secret")}\"", $$"""
            , "web": { "Address": "https://127.0.0.1:0", "Pool": "web", "Acme": { "Names": [ "shop.test" ], "AcceptTerms": true,
                "Directory": "https://127.0.0.1:1/dir", "Store": "{{directory.File("acme")}}" } }
            """));

        (await adding.Should().ThrowAsync<StartException>()).Which.Message.Should().Contain("Cluster:SecretFile was not there");
        node.Listeners.Should().ContainSingle();
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Start_NameIsALivingNodes_SaysWhoseAndDoesNotServe()
    {
        var a = await StartNodeAsync("a");

        var starting = () => StartNodeAsync("a");

        (await starting.Should().ThrowAsync<StartException>()).Which.Message.Should()
            .StartWith($"cluster: the name of this node is held by node 'a' at {AddressOf(a)}, there since ");
        (await AskAsync(a))["connected"]!.GetValue<bool>().Should().BeTrue();
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Nodes_EtcdIsKilledAndComesBack_ServeAllTheTime()
    {
        var a = await StartNodeAsync("a");
        await EventuallyAsync(a, cluster => cluster["connected"]!.GetValue<bool>());

        await _etcd.KillAsync();
        await EventuallyAsync(a, cluster => !cluster["connected"]!.GetValue<bool>());
        var meanwhile = await GetAsync(a, 1);
        var metrics = await a.Management.GetStringAsync("/metrics");
        await _etcd.RestartAsync();
        await EventuallyAsync(a, cluster => cluster["connected"]!.GetValue<bool>());

        meanwhile.Should().Equal(200);
        metrics.Should().Contain("\nloadbalancer_cluster_connected 0\n");
        await a.Log.SaysAsync("cluster 'edge': not connected to etcd; this node goes on with what it knows: etcd at 127.0.0.1:");
    }

    [Test]
    public async Task Reload_ClusterHasChanged_SaysThatItNeedsARestart()
    {
        var a = await StartNodeAsync("a");

        await a.ApplyAsync(Text("b"));

        await a.Log.SaysAsync("LoadBalancer:Cluster has changed, which needs a restart or an upgrade");
        (await AskAsync(a))["node"]!.ToString().Should().Be("a");
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Reload_BrokerOfTheMainIsReplaced_NodeStaysTheMain()
    {
        var a = await StartNodeAsync("a", Store(100));
        await EventuallyAsync(a, cluster => $"{cluster["mains"]!["store"]}" == "a");
        await StartNodeAsync("b", Store(100));
        var before = await MainAsync();

        await a.ApplyAsync(Text("a", Store(101)));
        await a.Log.SaysAsync("listener 'store' was removed or replaced: it has ended");
        await EventuallyAsync(a, _ => a.Listeners.OfType<BrokerListener>().Single().Status.Role == "Main");

        (await MainAsync()).Should().Be(before, "the other node could not be the main in between");
    }

    private async Task<string> MainAsync()
    {
        var range = await _etcd.PostAsync("/v3/kv/range", new { key = Convert.ToBase64String("/lb/edge/main/store"u8) });
        return range["kvs"]![0]!.ToJsonString();
    }

    private static string Store(int connections) => $$"""
        "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store", "MaxConnections": {{connections}},
            "Ports": { "Clients": 0, "Workers": 0, "HealthCheck": 0, "AlternativePing": 0, "WorkerCheckClients": 0,
                "WorkerCheckWorkers": 0 } },
        """;

    private async Task<ConfiguredNode> StartNodeAsync(string name, string listeners = "")
    {
        var node = await ConfiguredNode.StartRawAsync(Text(name, listeners));
        _nodes.Add(node);
        return node;
    }

    private string Text(string name, string listeners = "") => $$"""
        { "LoadBalancer": {
            "Cluster": { "Name": "edge", "Node": "{{name}}", "Etcd": [ "{{_etcd.Address}}" ], "LeaseTime": "2s" },
            "RateLimits": { "some": { "Permits": 4, "Window": "1h" } },
            "Listeners": { {{listeners}} "web": { "Address": "http://127.0.0.1:0", "Pool": "web",
                "Routes": [ { "Respond": { "Status": 200, "Body": "here" }, "RateLimit": "some" } ] } },
            "Pools": { {{(listeners.Length > 0 ? """ "store": {}, """ : "")}}
                "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } },
            "Management": { "Address": "http://127.0.0.1:0" } } }
        """;

    private static string AddressOf(ConfiguredNode node) => node.Management.BaseAddress!.GetLeftPart(UriPartial.Authority);

    private static async Task<JsonNode> AskAsync(ConfiguredNode node) =>
        JsonNode.Parse(await node.Management.GetStringAsync("/api/cluster"))!;

    private static async Task<List<int>> GetAsync(ConfiguredNode node, int count)
    {
        var statuses = new List<int>();
        for (var i = 0; i < count; i++)
        {
            using var answer = await node.Client.GetAsync("/");
            statuses.Add((int)answer.StatusCode);
        }
        return statuses;
    }

    private static Task EventuallyAsync(ConfiguredNode node, Func<JsonNode, bool> condition) =>
        Eventually.BeTrueAsync(async () => condition(await AskAsync(node)), "that is so");
}
