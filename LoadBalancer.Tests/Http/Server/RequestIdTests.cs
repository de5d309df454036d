using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>The names of requests.</summary>
internal sealed class RequestIdTests
{
    private const string Listener = "\"RequestId\": \"X-Request-Id\",";

    [Test]
    public async Task RequestId_ClientThatIsNotTrusted_GetsANewOneEachTime()
    {
        await using var node = await RouteNode.StartAsync("", Listener);

        var first = await node.GetAsync("/", "X-Request-Id: mine\r\n");
        var second = await node.GetAsync("/");

        first.Should().NotContain("mine");
        var ids = new[] { first, second }.SelectMany(answer => answer.Split("X-Request-Id: ")[1..].Select(rest =>
            rest.Split("\r\n")[0])).ToList();
        ids.Should().HaveCount(4, "each is in the response and in the request that the backend got").And.OnlyContain(id => id.Length == 32);
        ids.Distinct().Should().HaveCount(2);
    }

    [TestCase("X-Request-Id")]
    [TestCase("close, x-request-id, X-Own")]
    public async Task RequestId_ClientNamesItInConnection_StillReachesTheBackend(string connection)
    {
        await using var node = await RouteNode.StartAsync("", Listener);

        var answer = await RawPeer.ExchangeAsync(
            node.Node.Port, $"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: {connection}\r\nX-Own: 1\r\nConnection: close\r\n\r\n");

        answer.Split("X-Request-Id: ").Should().HaveCount(3, "it is in the response and in the request that the backend got");
        answer.Contains("X-Own", StringComparison.Ordinal).Should().Be(connection == "X-Request-Id");
    }

    [TestCase("mine-1", true)]
    [TestCase("a b", false)]
    public async Task RequestId_TrustedProxy_ItsOwnIsKeptIfItIsValid(string given, bool isKept)
    {
        await using var node = await RouteNode.StartAsync("", Listener + "\"TrustedProxies\": [ \"127.0.0.1\" ],");

        var answer = await node.GetAsync("/", $"X-Request-Id: {given}\r\n");

        answer.Contains($"X-Request-Id: {given}", StringComparison.Ordinal).Should().Be(isKept);
    }

    [Test]
    public async Task RequestId_OurOwnAnswer_HasItInFieldBodyAndLog()
    {
        using var directory = new TemporaryDirectory();
        await using var node = await RouteNode.StartAsync(
            """{ "Respond": { "Body": "id {requestId}" } }""",
            $"{Listener} \"AccessLog\": \"{directory.File("access.log")}\", \"AccessLogFormat\": [ \"requestId\", \"route\", \"host\" ],");

        var answer = await node.GetAsync("/");

        var id = answer.Split("\r\n\r\nid ")[1];
        answer.Should().Contain($"\r\nX-Request-Id: {id}\r\n");
        await Eventually.BeTrueAsync(
            () => File.ReadAllText(directory.File("access.log")) == $"{{\"requestId\":\"{id}\",\"route\":\"1\",\"host\":\"a.test\"}}\n",
                "it is logged");
    }
}
