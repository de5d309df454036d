using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Two processes and an etcd: what is left behind by a kill, handed on by an upgrade, given back by a stop.</summary>
[Platform("Linux")]
[Explicit("takes long; .ci/run runs it")]
[Category("Program")]
internal sealed class ClusterProgramTests
{
    private const int SigStop = 19;
    private const int SigContinue = 18;

    [Test]
    public async Task Nodes_KilledStoppedReplacedAndEnded_AreKnownToEachOther()
    {
        await using var etcd = await EtcdServer.StartAsync();
        using var directory = new TemporaryDirectory();
        var (portA, portB) = (ReservedPorts.Next(), ReservedPorts.Next());
        await using var a = await Upgrades.StartAsync(Write(directory, etcd, "a", portA), portA);
        await using var b = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", Write(directory, etcd, "b", portB));
        await EventuallyAsync(a, "a, b");

        // A second one of that name.
        var (exitCode, _, errors) = await ProgramUnderTest.RunAsync(
            "LoadBalancer", "--config", Write(directory, etcd, "b", ReservedPorts.Next()));
        exitCode.Should().Be(1);
        errors.Should().StartWith($"cluster: the name of this node is held by node 'b' at http://127.0.0.1:{portB}, there since ");

        // Stopped for longer than the lease, it goes on as if it had been gone.
        b.Signal(SigStop);
        await EventuallyAsync(a, "a");
        b.Signal(SigContinue);
        await EventuallyAsync(a, "a, b");

        // What it leaves behind does not keep the next one from starting.
        await b.KillAsync();
        await using var next = await ProgramUnderTest.StartAsync("LoadBalancer", "--config", Write(directory, etcd, "b", portB));
        await EventuallyAsync(a, "a, b");

        // The new process has the key of the old one.
        var created = await CreatedAsync(etcd);
        await a.UpgradeAsync();
        await Upgrades.EndedAsync(a.First.Id);
        await EventuallyAsync(a, "a, b");
        (await CreatedAsync(etcd)).Should().Be(created);

        (await next.TerminateAsync()).Should().Be(0);
        await EventuallyAsync(a, "a");
    }

    private static string Write(TemporaryDirectory directory, EtcdServer etcd, string node, int management)
    {
        var file = directory.File($"{node}{management}.json");
        File.WriteAllText(file, $$"""
            { "LoadBalancer": {
                "Cluster": { "Name": "edge", "Node": "{{node}}", "Etcd": [ "{{etcd.Address}}" ], "LeaseTime": "3s" },
                "Listeners": { "web": { "Address": "http://127.0.0.1:{{ReservedPorts.Next()}}", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } },
                "Management": { "Address": "http://127.0.0.1:{{management}}" } } }
            """);
        return file;
    }

    private static async Task<string> CreatedAsync(EtcdServer etcd)
    {
        var range = await etcd.PostAsync("/v3/kv/range", new { key = Convert.ToBase64String("/lb/edge/nodes/a"u8) });
        return range["kvs"]![0]!["create_revision"]!.ToString();
    }

    private static Task EventuallyAsync(Upgrades node, string names) => Eventually.BeTrueAsync(
        async () =>
        {
            JsonNode cluster = await node.AskAsync(HttpMethod.Get, "/api/cluster");
            return cluster["connected"]!.GetValue<bool>()
                && string.Join(", ", cluster["nodes"]!.AsArray().Select(other => $"{other!["name"]}")) == names;
        },
        $"the nodes are {names}");
}
