using System.Text;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>A node of a cluster that is replaced by a new process: what it shares, and its place as a main, go along.</summary>
[Platform("Linux")]
[Category("Program")]
[Explicit("takes long; .ci/run runs it")]
[Category("Long")]
internal sealed class ClusterUpgradeTests
{
    [Test]
    public async Task Upgrade_MainOfACluster_StaysTheMainWithTheSameLeaseAndKnowsWhatOperatorsHaveSet()
    {
        await using var etcd = await EtcdServer.StartAsync();
        using var directory = new TemporaryDirectory();
        var (file, management, ports) = (directory.File("loadbalancer.json"), ReservedPorts.Next(), ReservedPorts.Next(6));
        await File.WriteAllTextAsync(file, Text(etcd, management, ports));
        await using var balancer = await Upgrades.StartAsync(file, management);
        using var connection = new EtcdConnection(new ClusterOptions { Name = "edge", Etcd = [etcd.Address] }, TimeProvider.System);
        var client = new EtcdClient(connection);
        async Task<EtcdKey?> MainAsync() => (await client.GetAsync("/lb/edge/main/store", default)).Keys.SingleOrDefault();
        await Eventually.BeTrueAsync(async () => await MainAsync() is not null, "it is the main");
        (await balancer.AskAsync(HttpMethod.Get, "/api/cluster"))["mains"]!.ToJsonString().Should().Be("""{"store":"a"}""");
        await balancer.AskAsync(HttpMethod.Patch, "/api/pools/web/backends/b1", new { adminState = "Draining" });
        var before = (await MainAsync())!;

        await balancer.UpgradeAsync();
        (await balancer.First.ExitAsync()).Should().Be(0);

        await using var worker = new ReplySocket();
        worker.Connect(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, ports + 1));
        var answering = AnswerOneAsync(worker);
        await using var asking = new RequestSocket { Identity = Encoding.UTF8.GetBytes("c") };
        asking.Connect(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, ports));
        (await asking.RequestAsync(ZmtpMessage.Of("c", "PING"))).ToString().Should().Be("PONG");
        await answering;
        (await MainAsync())!.Should().Be(before, "nobody else could have been the main in between");
        var pools = await balancer.AskAsync(HttpMethod.Get, "/api/pools");
        pools["pools"]!.AsArray().Single(pool => $"{pool!["name"]}" == "web")!["backends"]![0]!["adminState"]!.GetValue<string>()
            .Should().Be("Draining", "without a copy on disk too");
        await balancer.AskAsync(HttpMethod.Patch, "/api/pools/web/backends/b1", new { adminState = (string?)null });
    }

    [Test]
    public async Task Upgrade_NewProcessStopsWhileTheOldOneHasARequest_NobodyElseIsTheMainUntilThatIsAnswered()
    {
        await using var etcd = await EtcdServer.StartAsync();
        using var directory = new TemporaryDirectory();
        var (file, management, ports) = (directory.File("loadbalancer.json"), ReservedPorts.Next(), ReservedPorts.Next(6));
        await File.WriteAllTextAsync(file, Text(etcd, management, ports));
        await using var balancer = await Upgrades.StartAsync(file, management);
        using var connection = new EtcdConnection(new ClusterOptions { Name = "edge", Etcd = [etcd.Address] }, TimeProvider.System);
        var client = new EtcdClient(connection);
        async Task<EtcdKey?> MainAsync() => (await client.GetAsync("/lb/edge/main/store", default)).Keys.SingleOrDefault();
        await Eventually.BeTrueAsync(async () => await MainAsync() is not null, "it is the main");
        await using var worker = new ReplySocket();
        worker.Connect(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, ports + 1));
        await using var asking = new RequestSocket { Identity = Encoding.UTF8.GetBytes("c") };
        asking.Connect(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, ports));
        var answer = asking.RequestAsync(ZmtpMessage.Of("c", "PING"));
        var request = await worker.ReceiveAsync();
        var before = (await MainAsync())!;

        var next = await balancer.UpgradeAsync();
        await Eventually.BeTrueAsync(
            () => balancer.First.Output.Count(line => line.Contains("listener 'store': is the main", StringComparison.Ordinal)) == 2,
            "the new process is the main");
        ProgramUnderTest.Signal(next, ProgramUnderTest.SigTerm);
        await Upgrades.EndedAsync(next);
        await Task.Delay(TimeSpan.FromSeconds(3), TimeProvider.System); // longer than the lease
        (await MainAsync()).Should().Be(before, "the old process still has something of a main to do");
        request.Reply(ZmtpMessage.Of("PONG"));

        (await answer).ToString().Should().Be("PONG");
        (await balancer.First.ExitAsync()).Should().Be(0);
        await Eventually.BeTrueAsync(async () => await MainAsync() is null, "another node may be the main");
    }

    private static string Text(EtcdServer etcd, int management, int ports) => $$"""
        { "LoadBalancer": {
            "Cluster": { "Name": "edge", "Node": "a", "Etcd": [ "{{etcd.Address}}" ], "LeaseTime": "2s", "StateDirectory": "/proc/none" },
            "Listeners": {
                "web": { "Address": "http://127.0.0.1:{{ReservedPorts.Next()}}", "Pool": "web" },
                "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store",
                    "Ports": {{StorePorts.JsonFrom(ports)}} } },
            "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } }, "store": {} },
            "Management": { "Address": "http://127.0.0.1:{{management}}" } } }
        """;

    private static async Task AnswerOneAsync(ReplySocket worker) => (await worker.ReceiveAsync()).Reply(ZmtpMessage.Of("PONG"));
}
