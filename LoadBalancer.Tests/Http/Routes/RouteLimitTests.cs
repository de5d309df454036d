using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Routes;

/// <summary>Limits that a route has for itself.</summary>
internal sealed class RouteLimitTests
{
    [Test]
    public async Task MaxRequestBodySize_OfTheRoute_ReplacesTheListeners()
    {
        await using var node = await RouteNode.StartAsync(
            """
            { "Path": "/large", "Pool": "api", "MaxRequestBodySize": 100 },
            { "Path": "/small", "Pool": "api", "MaxRequestBodySize": 3 }
            """,
            "\"MaxRequestBodySize\": 10,");

        (await PostAsync(node, "/large", 50)).Should().StartWith("HTTP/1.1 200");
        (await PostAsync(node, "/small", 5)).Should().StartWith("HTTP/1.1 413");
        (await PostAsync(node, "/", 11)).Should().StartWith("HTTP/1.1 413");
    }

    [Test]
    public async Task ResponseTimeout_OfTheRoute_ReplacesThePools()
    {
        await using var silent = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await StartAsync(silent, """{ "Path": "/", "Pool": "web", "Timeouts": { "Response": "00:00:00.200" } }""");

        (await GetAsync(node)).Should().StartWith("HTTP/1.1 504");
        await node.Log.SaysAsync("no answer within 0.2 s");
    }

    [Test]
    public async Task Total_NoAnswerInTime_Is504AndNoFailureOfTheBackend()
    {
        await using var silent = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await StartAsync(silent, """{ "Path": "/", "Pool": "web", "Timeouts": { "Total": "00:00:00.200" } }""");

        (await GetAsync(node)).Should().StartWith("HTTP/1.1 504");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Total_OverInTheMiddleOfABody_BreaksTheResponse()
    {
        await using var slow = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(slow, """{ "Path": "/", "Pool": "web", "Timeouts": { "Total": "00:00:00.300" } }""");

        var (text, _) = await ReadAllAsync(node);

        text.Should().StartWith("HTTP/1.1 200").And.EndWith("hello");
        await node.Log.SaysAsync("not complete within 0.3 s, the Total of its route");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [TestCase("00:00:50")]
    [TestCase("00:00:00.001")]
    public async Task Total_OverInTheMiddleOfABodyOfAPoolThatHedges_BreaksTheResponse(string after)
    {
        await using var slow = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            await peer.ReadToEndAsync();
        });
        await using var node = await ConfiguredNode.StartAsync(
            $$"""
            { "web": { "Hedge": { "After": "{{after}}" }, "Timeouts": { "Idle": "00:00:10" }, "Backends": {
                "b1": { "Address": "{{slow.Address}}" },
                "b2": { "Address": "{{slow.Address.Replace("127.0.0.1", "localhost", StringComparison.Ordinal)}}" } } } }
            """,
            """ "Routes": [ { "Path": "/", "Pool": "web", "Timeouts": { "Total": "00:00:00.300" } } ], """);

        var (text, _) = await ReadAllAsync(node);

        text.Should().StartWith("HTTP/1.1 200").And.EndWith("hello");
        await node.Log.SaysAsync("not complete within 0.3 s, the Total of its route");
        node.Pool.Snapshot.Members.Sum(member => member.Failures + member.InFlight).Should().Be(0);
    }

    [Test]
    public async Task Total_WaitingInTheQueue_Is504()
    {
        await using var silent = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await ConfiguredNode.StartAsync(
            $$"""
            { "web": { "Queue": { "Limit": 5, "Timeout": "00:01:00" },
                "Backends": { "b1": { "Address": "{{silent.Address}}", "MaxInFlight": 1 } } } }
            """,
            """ "Routes": [ { "Path": "/q", "Pool": "web", "Timeouts": { "Total": "00:00:00.200" } } ], """);
        using var first = await RawPeer.ConnectAsync(node.Port);
        await first.SendAsync("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 1, "the backend is full");

        (await RawPeer.ExchangeAsync(node.Port, "GET /q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 504");
    }

    [Test]
    public async Task Total_Tunnel_EndsWithItsSwitch()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
            await peer.SendAsync(await peer.ReadAsync(5));
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, """{ "Path": "/", "Pool": "web", "Timeouts": { "Total": "00:00:00.300" } }""");
        using var client = await RawPeer.ConnectAsync(node.Port);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101");

        await Task.Delay(TimeSpan.FromSeconds(0.6), TimeProvider.System);
        await client.SendAsync("hello");

        (await client.ReadAsync(5)).Should().Be("hello");
    }

    [Test]
    public async Task Attempts_OfTheRoute_ReplaceThePools()
    {
        var arrived = 0;
        await using var closing = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            Interlocked.Increment(ref arrived);
        });
        await using var node = await ConfiguredNode.StartAsync(
            $$"""
            { "web": { "Backends": {
                "b1": { "Address": "{{closing.Address}}" },
                "b2": { "Address": "{{closing.Address.Replace("127.0.0.1", "localhost", StringComparison.Ordinal)}}" } } } }
            """,
            """ "Routes": [ { "Path": "/once", "Pool": "web", "Retry": { "Attempts": 1 } } ], """);

        await RawPeer.ExchangeAsync(node.Port, "GET /once HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        arrived.Should().Be(1);
        await RawPeer.ExchangeAsync(node.Port, "GET /twice HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        arrived.Should().Be(3);
    }

    private static Task<ConfiguredNode> StartAsync(RawServer backend, string route) => ConfiguredNode.StartAsync(
        $$"""{ "web": { "Retry": { "Attempts": 1 }, "Backends": { "b1": { "Address": "{{backend.Address}}" } } } }""",
            $"\"Routes\": [ {route} ],");

    private static Task<string> GetAsync(ConfiguredNode node) =>
        RawPeer.ExchangeAsync(node.Port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

    private static async Task<(string Text, bool IsReset)> ReadAllAsync(ConfiguredNode node)
    {
        using var client = await RawPeer.ConnectAsync(node.Port);
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        return await client.ReadToItsEndAsync();
    }

    private static async Task<string> PostAsync(RouteNode node, string target, int size) => await RawPeer.ExchangeAsync(
        node.Node.Port,
        $"POST {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{new string('x', size)}");
}
