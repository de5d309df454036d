using System.Text;
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
    public void Object_NameTwiceOrNoObject_IsRefusedAtOnce(string json)
    {
        var read = () => EtcdText.Object(Encoding.UTF8.GetBytes(json));

        read.Should().Throw<FormatException>();
    }
}
