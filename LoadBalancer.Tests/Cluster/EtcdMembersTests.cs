using System.Diagnostics;
using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Broker;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>A node and an etcd of three members, one of which fails: the others have all that is needed.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Explicit("takes long; .ci/run runs it")]
[Category("Long")]
internal sealed class EtcdMembersTests : IAsyncDisposable
{
    private const int SigStop = 19;
    private const int SigContinue = 18;
    private static readonly TimeSpan LeaseTime = TimeSpan.FromSeconds(5);

    private EtcdMembers _etcd = null!;
    private ConfiguredNode _node = null!;

    public async ValueTask DisposeAsync()
    {
        await (_node?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    [Test]
    public async Task Member_InUseFails_NodeGoesOnAsTheMainAndTakesChanges(
        [Values("killed", "stopped", "cut off")] string how, [Values] bool isLeader)
    {
        _etcd = await EtcdMembers.StartAsync();
        var leader = await _etcd.LeaderAsync();
        var used = isLeader ? leader : (leader + 1) % 3;
        await StartNodeAsync(used);
        var since = Stopwatch.StartNew();
        var lost = WatchMainAsync(since);

        if (how == "killed")
        {
            await _etcd.Servers[used].KillAsync();
        }
        else if (how == "stopped")
        {
            _etcd.Servers[used].Signal(SigStop);
        }
        else
        {
            _etcd.CutOff(used);
        }
        var failed = since.Elapsed;
        await SetAsync("Draining");
        await TestContext.Out.WriteLineAsync($"{how}, leader: {isLeader}: the first change was taken after {since.Elapsed - failed}");
        for (var i = 0; since.Elapsed - failed < LeaseTime * 2; i++)
        {
            await SetAsync(i % 2 == 0 ? "Ready" : "Draining");
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
        }
        _etcd.Heal();
        if (how == "killed")
        {
            _etcd.Servers[used].Launch();
        }
        else if (how == "stopped")
        {
            _etcd.Servers[used].Signal(SigContinue);
        }
        await _etcd.Servers[used].HealthyAsync();
        await SetAsync("Disabled");

        since.Stop();
        (await lost).Should().BeNull("the lease is longer than etcd takes to choose another leader");
        (await AskAsync())["connected"]!.GetValue<bool>().Should().BeTrue();
        _node.Pool.Snapshot.Members[0].AdminState.Should().Be(AdminState.Disabled);
    }

    // When the node was the main no more; null where it was all the time.
    private async Task<TimeSpan?> WatchMainAsync(Stopwatch since)
    {
        var broker = _node.Listeners.OfType<BrokerListener>().Single();
        while (since.IsRunning)
        {
            if (broker.State != BrokerState.Serving)
            {
                return since.Elapsed;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }
        return null;
    }

    // Until it is answered with 200: 503 may come while etcd has no leader.
    private Task SetAsync(string state) => Eventually.BeTrueAsync(
        async () =>
        {
            using var answer = await _node.Management.PatchAsJsonAsync("/api/pools/web/backends/b", new { adminState = state });
            return answer.IsSuccessStatusCode;
        },
        "the change is taken");

    private async Task<JsonNode> AskAsync() => JsonNode.Parse(await _node.Management.GetStringAsync("/api/cluster"))!;

    private async Task StartNodeAsync(int first)
    {
        var addresses = string.Join(", ", Enumerable.Range(first, 3).Select(i => $"\"{_etcd.Servers[i % 3].Address}\""));
        _node = await ConfiguredNode.StartRawAsync($$"""
            { "LoadBalancer": {
                "Cluster": { "Name": "edge", "Node": "a", "Etcd": [ {{addresses}} ], "LeaseTime": "{{LeaseTime.TotalSeconds}}s",
                    "StateDirectory": "/proc/none" },
                "Listeners": {
                    "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store",
                        "Ports": { "Clients": 0, "Workers": 0, "HealthCheck": 0, "AlternativePing": 0, "WorkerCheckClients": 0,
                            "WorkerCheckWorkers": 0 } },
                    "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } }, "store": {} },
                "Management": { "Address": "http://127.0.0.1:0" } } }
            """);
        await Eventually.BeTrueAsync(
            () => _node.Listeners.OfType<BrokerListener>().Single().State == BrokerState.Serving, "it is the main");
    }
}
