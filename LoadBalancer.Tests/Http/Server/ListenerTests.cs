using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>What a listener's options do: routes, trust, limits.</summary>
internal sealed class ListenerTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [TestCase("shop.example", "/", "web")]
    [TestCase("api.example", "/", "api")]
    [TestCase("API.example:8080", "/x", "api")]
    [TestCase("a.wild.example", "/", "wild")]
    [TestCase("a.b.wild.example", "/", "wild")]
    [TestCase("wild.example", "/", "web")]
    [TestCase("notwild.example", "/", "web")]
    [TestCase("shop.example", "/api", "api")]
    [TestCase("shop.example", "/api/x?y", "api")]
    [TestCase("shop.example", "/apix", "web")]
    [TestCase("shop.example", "/API", "web")]
    [TestCase("shop.example", "/x/../api/y", "api")]
    [TestCase("a.wild.example", "/api", "wild")]
    [TestCase("api.example.", "/", "api")]
    [TestCase("API.example.:80", "/", "api")]
    [TestCase("a.wild.example.", "/", "wild")]
    [TestCase("api.example..", "/", "web")]
    [TestCase("shop.example", "/api%2fx", "web")]
    [TestCase("shop.example", "http://shop.example/api%2fx", "web")]
    [TestCase("shop.example", "http://shop.example/%61pi/x", "api")]
    [TestCase("shop.example", "/%61pi/x", "api")]
    [TestCase("shop.example", "http://SHOP.example/api", "api")]
    [TestCase("shop.example", "https://shop.example/x/%2e%2e/api?y", "api")]
    [TestCase("shop.example", "http://shop.example/./api/.", "api")]
    [TestCase("shop.example", "http://shop.example/..//api", "web")]
    [TestCase("shop.example", "http://shop.example/x/..", "web")]
    [TestCase("shop.example", "http://api.example.:8080", "api")]
    [TestCase("shop.example", "http://API.example?x", "api")]
    public async Task Route_HostAndPath_ChooseThePool(string host, string target, string pool)
    {
        await using var web = RawServer.Answering(Answer("web"));
        await using var api = RawServer.Answering(Answer("api"));
        await using var wild = RawServer.Answering(Answer("wild"));
        await using var node = await TestNode.StartAsync(
            [web.Address],
            listener: listener => listener with
            {
                Routes =
                [
                    new() { Host = ["api.example"], Pool = "api" },
                    new() { Host = ["*.wild.example"], Pool = "wild" },
                    new() { Path = "/api", Pool = "api" },
                ],
            },
            otherPools: new() { ["api"] = api.Address, ["wild"] = wild.Address });

        (await node.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
            .Should().EndWith($"\r\n\r\n{pool}");
    }

    [Test]
    public async Task TrustedProxies_PeerIsOne_ItsWordIsKept()
    {
        var head = await HeadSeenAsync(
            listener => listener with { TrustedProxies = [IPNetwork.Parse("10.0.0.0/8"), IPNetwork.Parse("127.0.0.0/8")] });

        head.Should().Contain("X-Forwarded-For: 1.2.3.4, 5.6.7.8, 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: " +
            "shop.example\r\nForwarded: for=1.2.3.4\r\n");
    }

    [Test]
    public async Task TrustedProxies_PeerIsNone_ItsWordIsReplaced()
    {
        var head = await HeadSeenAsync(listener => listener with { TrustedProxies = [IPNetwork.Parse("10.0.0.0/8")] });

        head.Should().Contain("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n").And.NotContain("1.2.3.4");
    }

    [TestCase("Content-Length: 6\r\n\r\nhello!")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n")]
    public async Task MaxRequestBodySize_Exceeded_Is413(string body)
    {
        await using var backend = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with { MaxRequestBodySize = 5 });
        using var client = await node.ConnectAsync();

        await client.SendAsync($"POST / HTTP/1.1\r\nHost: a\r\n{body}");

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 413");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0, "a client's fault never counts against a backend");
    }

    [Test]
    public async Task MaxConnections_Surplus_IsClosedAtOnce()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with { MaxConnections = 1 });
        using var first = await node.ConnectAsync();
        await first.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await first.ReadResponseAsync()).Should().EndWith("ok");

        using var second = await node.ConnectAsync();

        (await second.ReadToEndAsync()).Should().BeEmpty();
        node.Listener.Refused.Should().Be(1);
        first.Dispose();
        await Eventually.BeTrueAsync(async () => (await node.ExchangeAsync("GET / HTTP/1.0\r\nHost: a\r\n\r\n"))
            .EndsWith("ok", StringComparison.Ordinal), "its place is free again");
    }

    [Test]
    public async Task RequestHeadersTimeout_SlowHead_Is408()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node =
            await TestNode.StartAsync([backend.Address],
            listener: listener => listener with { RequestHeadersTimeout = TimeSpan.FromSeconds(1) });

        (await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\n")).Should().StartWith("HTTP/1.1 408");
    }

    [Test]
    public async Task AccessLog_RequestThatIsNone_IsWrittenDownToo()
    {
        var file = Path.GetTempFileName();
        await using var backend = RawServer.Answering(Ok);
        await using (var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with { AccessLog = file }))
        {
            await node.ExchangeAsync("nonsense\r\n\r\n");
            await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            await node.StopAsync();
        }

        var lines = await File.ReadAllLinesAsync(file);
        File.Delete(file);
        lines.Should().HaveCount(2).And.Contain(
            line => line.StartsWith("127.0.0.1 - - [", StringComparison.Ordinal) && line.Contains("\" 400 ", StringComparison.Ordinal))
            .And.Contain(line =>
            line.Contains("\"GET / HTTP/1.1\" 200 2 ", StringComparison.Ordinal) && line.EndsWith(" web/b1", StringComparison.Ordinal));
    }

    private static string Answer(string body) => $"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}";

    private static async Task<string> HeadSeenAsync(Func<HttpListenerOptions, HttpListenerOptions> listener)
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener);
        await node.ExchangeAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: " +
                "shop.example\r\nForwarded: for=1.2.3.4\r\nConnection: close\r\n\r\n");
        return head;
    }
}
