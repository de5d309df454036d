using System.Text;
using System.Text.Json.Nodes;
using LoadBalancer.Cluster;

namespace LoadBalancer.Tests.Cluster;

/// <summary>JSON of others.</summary>
[Parallelizable]
internal sealed class EtcdTextTests
{
    [TestCase("""{"a":1,"a":2}""")]
    [TestCase("""{"a":{"b":1,"b":2}}""")]
    [TestCase("""[]""")]
    [TestCase("""{""")]
    [TestCase("""{"\ud800":1}""")]
    public void Object_NameTwiceOrNoObject_IsRefusedAtOnce(string json)
    {
        var read = () => EtcdText.Object(Encoding.UTF8.GetBytes(json));

        read.Should().Throw<FormatException>();
    }

    [TestCase("""{"address":"\ud800","version":"1"}""", "1")]
    [TestCase("""{"address":1,"version":"1"}""", "1")]
    [TestCase("""{"\ud800":1,"version":"1"}""", null)]
    public void Read_HalfOfASurrogatePair_IsNoText(string json, string? version)
    {
        var member = ClusterMember.Read("b", json);

        member.Should().Be(new ClusterMember("b", null, version, null));
        LeaderLease.NodeOf("""{"node":"\ud800"}""").Should().BeNull();
        StickyKeyOfCluster.Read(JsonNode.Parse("""{"key":"\ud800"}""")).Should().BeNull();
    }

    [Test]
    public void Clean_SurrogatePairAtTheEnd_IsNotDivided()
    {
        var text = EtcdText.Clean(new string('a', 199) + "😀");

        text.Should().Be(new string('a', 199));
    }
}
