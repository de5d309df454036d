using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;

namespace LoadBalancer.Tests.Management;

[Parallelizable(ParallelScope.All)]
internal sealed class StatusChangesTests
{
    [TestCase("""{"pools":[],"routes":[]}""", """{"pools":[],"routes":[]}""", "{}")]
    [TestCase("""{"a":1,"b":{"c":[2]},"d":3,"pools":[],"routes":[]}""", """{"a":1,"b":{"c":[4]},"pools":[],"routes":[]}""",
        """{"b":{"c":[4]},"d":null}""")]
    [TestCase("""{"pools":[{"name":"p","x":1,"backends":[{"name":"a","w":1},{"name":"b","w":null}]}],"routes":[]}""",
        """{"pools":[{"name":"p","x":2,"backends":[{"name":"a","w":5},{"name":"b","w":6}]}],"routes":[]}""",
        """{"pools":{"changed":[{"x":2,"backends":{"set":{"w":[0,5,1,6]}},"name":"p"}]}}""")]
    [TestCase("""{"pools":[{"name":"p","backends":[{"name":"a"}]}],"routes":[]}""",
        """{"pools":[{"name":"p","backends":[{"name":"b"}]}],"routes":[]}""",
        """{"pools":{"changed":[{"backends":{"all":[{"name":"b"}]},"name":"p"}]}}""")]
    [TestCase("""{"pools":[{"name":"p","backends":[{"name":"a"}]}],"routes":[]}""",
        """{"pools":[{"name":"p","backends":[{"name":"a","load":1}]}],"routes":[]}""",
        """{"pools":{"changed":[{"backends":{"all":[{"name":"a","load":1}]},"name":"p"}]}}""")]
    [TestCase("""{"pools":[{"name":"p","backends":[]}],"routes":[]}""", """{"pools":[{"name":"q","backends":[]}],"routes":[]}""",
        """{"pools":{"all":[{"name":"q","backends":[]}]}}""")]
    [TestCase("""{"pools":[],"routes":[{"listener":"l","name":"r","n":1}]}""",
        """{"pools":[],"routes":[{"listener":"l","name":"r","n":2}]}""",
        """{"routes":{"set":{"n":[0,2]}}}""")]
    [TestCase("""{"pools":[],"routes":[{"listener":"l","name":"r"}]}""", """{"pools":[],"routes":[{"listener":"m","name":"r"}]}""",
        """{"routes":{"all":[{"listener":"m","name":"r"}]}}""")]
    public void Between_TwoSnapshots_IsWhatDiffers(string before, string now, string changes) =>
        JsonText.Of(StatusChanges.Between(JsonNode.Parse(before)!.AsObject(), JsonNode.Parse(now)!.AsObject())).Should().Be(changes);
}
