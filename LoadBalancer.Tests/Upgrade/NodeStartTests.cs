using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Tests.Upgrade;

/// <summary>What of another process's state is of use.</summary>
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
}
