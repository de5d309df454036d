using System.Net;
using System.Net.Sockets;
using LoadBalancer.Broker;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Tests.Upgrade;

/// <summary>What a process does with the state of the one that it replaces.</summary>
[Parallelizable]
internal sealed class NodeStartTests
{
    [TestCase("edge", "a", true)]
    [TestCase("edge", "b", false)]
    [TestCase("other", "a", false)]
    public void StateOf_AnotherClusterOrNode_IsOfNoUse(string cluster, string node, bool isOfUse)
    {
        var start = new NodeStart
        {
            State = new HandedState
            {
                Cluster = new HandedCluster { Name = "edge", Node = "a", Lease = 1 },
                Mains = new() { ["store"] = 2 },
                Shared = "{}",
            },
        };

        (start.StateOf(new ClusterOptions { Name = cluster, Node = node }) is not null).Should().Be(isOfUse);
    }

    [Test]
    public void StateOf_ProcessBeforeWasInNoCluster_IsOfNoUse() =>
        new NodeStart { State = new HandedState() }.StateOf(new ClusterOptions { Name = "edge", Node = "a" }).Should().BeNull();

    [Test]
    public async Task Start_ProcessBeforeHasTakenTheBrokersPortsMeanwhile_ServesWhenItHasLeft()
    {
        var ports = ReservedPorts.Next(6);
        using var taken = new TcpListener(IPAddress.Loopback, ports);
        taken.Start();
        var leaves = new TaskCompletionSource();
        var start = new NodeStart
        {
            State = new HandedState { Brokers = new() { ["store"] = $"{BrokerState.Watching}" } },
            PredecessorLeaves = new Lazy<Task>(leaves.Task),
        };

        await using var node = await ConfiguredNode.StartRawAsync(
            $$"""
            { "LoadBalancer": {
                "Listeners": {
                    "web": { "Address": "http://127.0.0.1:0", "Pool": "web" },
                    "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store",
                        "Ports": {{StorePorts.JsonFrom(ports)}} } },
                "Pools": { "store": {}, "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } },
                "Management": { "Address": "http://127.0.0.1:0" } } }
            """, start: start);
        var broker = (BrokerListener)node.Listeners[1];
        var early = broker.Started.IsCompleted;
        taken.Stop();
        leaves.SetResult();

        early.Should().BeFalse();
        await Eventually.BeTrueAsync(() => broker.State == BrokerState.Serving, "it serves");
    }
}
