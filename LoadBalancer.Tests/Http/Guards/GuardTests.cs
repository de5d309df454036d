using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Guards;

/// <summary>Who may come to a listener or a route, and how often.</summary>
internal sealed class GuardTests
{
    [TestCase("\"Allow\": [ \"10.0.0.0/8\" ],", "", "HTTP/1.1 403 Forbidden")]
    [TestCase("\"Allow\": [ \"10.0.0.0/8\", \"127.0.0.1\" ],", "", "web: GET /")]
    [TestCase("\"Deny\": [ \"127.0.0.0/8\" ],", "", "HTTP/1.1 403 Forbidden")]
    [TestCase("\"Deny\": [ \"127.0.0.0/8\" ], \"Allow\": [ \"127.0.0.1\" ],", "", "HTTP/1.1 403 Forbidden")]
    [TestCase("\"Deny\": [ \"127.0.0.0/8\" ],", """{ "Pool": "api", "Deny": [] }""", "api: GET /")]
    [TestCase("\"Deny\": [ \"127.0.0.0/8\" ],", """{ "Pool": "api", "Deny": "None" }""", "api: GET /")]
    [TestCase("\"Deny\": [ \"127.0.0.0/8\" ],", """{ "Pool": "api", "Deny": null }""", "HTTP/1.1 403 Forbidden")]
    [TestCase("", """{ "Pool": "api", "Deny": [ "127.0.0.1" ] }""", "HTTP/1.1 403 Forbidden")]
    [TestCase("", """{ "Respond": { "Status": 200 }, "Allow": [ "10.0.0.1" ] }""", "HTTP/1.1 403 Forbidden")]
    [TestCase("\"TrustedProxies\": [ \"127.0.0.1\" ], \"Deny\": [ \"9.9.9.9\" ],", "", "HTTP/1.1 403 Forbidden")]
    public async Task Addresses_ListenerAndRoute_DecideWhoMayCome(string listener, string route, string answer)
    {
        await using var node = await RouteNode.StartAsync(route, listener);

        (await node.LineAsync("/", "X-Forwarded-For: 9.9.9.9\r\n")).Should().Be(answer);
    }

    [Test]
    public async Task Addresses_Refused_SaysWhyAndAsksNoBackend()
    {
        await using var node = await RouteNode.StartAsync("", "\"Deny\": [ \"127.0.0.1\" ],");

        (await node.GetAsync("/")).Should().StartWith("HTTP/1.1 403 Forbidden\r\n")
            .And.Contain("\r\nProxy-Status: loadbalancer; error=http_request_denied\r\n")
            .And.EndWith("\r\n\r\nAccess from this address is not allowed\n");
        node.Node.FindPool("web")!.Snapshot.Members[0].Requests.Should().Be(0);
    }

    [Test]
    public async Task RateLimit_BeyondTheBurst_Is429WithRetryAfter()
    {
        await using var node = await StartAsync(
            """{ "Permits": 1, "Window": "01:00:00", "Burst": 3 }""", """{ "Pool": "api", "RateLimit": "some" }""");

        for (var i = 0; i < 3; i++)
        {
            (await GetAsync(node)).Should().StartWith("HTTP/1.1 200");
        }
        (await GetAsync(node)).Should().StartWith("HTTP/1.1 429 Too Many Requests\r\n").And.Contain("\r\nRetry-After: 3600\r\n")
            .And.EndWith("\r\n\r\nToo many requests\n");
        (await node.Node.Management.GetStringAsync("/metrics")).Should()
            .Contain("loadbalancer_rejected_total{listener=\"web\",route=\"1\",reason=\"rate_limit\"} 1\n");
    }

    [Test]
    public async Task RateLimit_KeyIsAField_EachValueHasItsCount()
    {
        await using var node = await StartAsync(
            """{ "Key": "Header:X-Key", "Permits": 1, "Window": "01:00:00" }""", """{ "Pool": "api", "RateLimit": "some" }""");

        (await GetAsync(node, "X-Key: a\r\n")).Should().StartWith("HTTP/1.1 200");
        (await GetAsync(node, "X-Key: a\r\n")).Should().StartWith("HTTP/1.1 429");
        (await GetAsync(node, "X-Key: b\r\n")).Should().StartWith("HTTP/1.1 200");
        (await GetAsync(node)).Should().StartWith("HTTP/1.1 200");
        (await GetAsync(node)).Should().StartWith("HTTP/1.1 429", "requests without the field share a count");
    }

    [Test]
    public async Task RateLimit_KeyIsTheHost_OtherSpellingsOfItShareItsCount()
    {
        await using var node = await RouteNode.StartAsync(
            """{ "Pool": "api", "Host": "a.test", "Allow": [ "10.0.0.0/8" ] }""");
        string[] spellings = ["a.test", "A.TEST", "a.test.", "a.test:80"];
        foreach (var host in spellings)
        {
            (await node.LineAsync("/", host: host)).Should().StartWith("HTTP/1.1 403");
        }
        var key = new LoadBalancer.Http.Guards.Rates.RateKey("Host");
        ulong Of(string host)
        {
            var context = new Microsoft.AspNetCore.Http.DefaultHttpContext();
            context.Request.Headers.Host = host;
            return key.Of(context.Request, null, null);
        }

        spellings.Select(Of).Distinct().Should().ContainSingle();
    }

    // A backend that resolves the path as RFC 3986 says gets none of these as /staff.
    [TestCase("/staff")]
    [TestCase("/staff/")]
    [TestCase("/staff?x=/")]
    [TestCase("/%73t%61ff")]
    [TestCase("/./staff")]
    [TestCase("/%2e/staff/x")]
    [TestCase("/x/../staff")]
    [TestCase("/x/%2E./staff")]
    [TestCase("//../staff")]
    [TestCase("/../staff")]
    [TestCase("/x/y/../.././staff")]
    [TestCase("/staff/../staff")]
    [TestCase("http://a.test/staff")]
    [TestCase("HTTP://A.TEST:80/%73taff")]
    [TestCase("http://b.test//../staff")]
    [TestCase("http://b.test/x/%2e%2e/staff")]
    [TestCase("http://b.test\\x/../staff")]
    [TestCase("/staff%00")]
    [TestCase("/staff#x")]
    public async Task Addresses_OtherSpellingOfAPath_IsRefusedToo(string target)
    {
        await using var node = await RouteNode.StartAsync("""{ "Path": "/staff", "Pool": "api", "Allow": [ "10.0.0.0/8" ] }""");

        (await node.LineAsync(target)).Should().Match(line => line.StartsWith("HTTP/1.1 403") || line.StartsWith("HTTP/1.1 400"));
    }

    [Test]
    public async Task RateLimit_ReloadWithTheSameLimit_CountsGoOn()
    {
        const string Limit = """{ "Permits": 1, "Window": "01:00:00" }""";
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        var text = Text(backend, Limit, """{ "Pool": "api", "RateLimit": "some" }""");
        await using var node = await ConfiguredNode.StartRawAsync(text);
        (await GetAsync(node)).Should().StartWith("HTTP/1.1 200");

        await node.ApplyAsync(
            text.Replace("\"api\", \"RateLimit\"", "\"api\", \"AddPrefix\": \"/x\", \"RateLimit\"", StringComparison.Ordinal));
        (await GetAsync(node)).Should().StartWith("HTTP/1.1 429");

        await node.ApplyAsync(text.Replace("\"Permits\": 1", "\"Permits\": 2", StringComparison.Ordinal));
        (await GetAsync(node)).Should().StartWith("HTTP/1.1 200");
    }

    [Test]
    public async Task RateLimit_NoneOnARoute_LiftsTheListeners()
    {
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        var text = Text(backend, """{ "Permits": 1, "Window": "01:00:00" }""",
            """{ "Path": "/free", "Pool": "api", "RateLimit": "None" }""")
            .Replace("\"Pool\": \"web\",", "\"Pool\": \"web\", \"RateLimit\": \"some\",", StringComparison.Ordinal);
        await using var node = await ConfiguredNode.StartRawAsync(text);

        (await GetAsync(node)).Should().StartWith("HTTP/1.1 200");
        (await GetAsync(node)).Should().StartWith("HTTP/1.1 429");
        (await GetAsync(node, target: "/free")).Should().StartWith("HTTP/1.1 200");
        (await GetAsync(node, target: "/free")).Should().StartWith("HTTP/1.1 200");
    }

    [Test]
    public async Task MaxInFlight_Reached_Is429UntilOneEnds()
    {
        var (told, arrived) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.TrySetResult();
            await told.Task;
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        await using var node = await ConfiguredNode.StartRawAsync(
            Text(backend, """{ "MaxInFlight": 1 }""", """{ "Pool": "api", "RateLimit": "some" }"""));
        var first = GetAsync(node);
        await arrived.Task;

        (await GetAsync(node)).Should().StartWith("HTTP/1.1 429");
        told.SetResult();
        (await first).Should().StartWith("HTTP/1.1 200");
        await Eventually.BeTrueAsync(
            async () => (await GetAsync(node)).StartsWith("HTTP/1.1 200", StringComparison.Ordinal), "the place is free again");
    }

    [Test]
    public async Task Refusal_GrpcCall_IsAStatusOfGrpc()
    {
        await using var node = await RouteNode.StartAsync("", "\"HttpVersion\": \"2\", \"Deny\": [ \"127.0.0.1\" ],");
        using var client = new HttpClient(TestNode.NewHandler());
        using var call = new HttpRequestMessage(HttpMethod.Post, $"http://127.0.0.1:{node.Node.Port}/greet.Greeter/Hello")
        {
            Version = new Version(2, 0),
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = new ByteArrayContent([0, 0, 0, 0, 0]) { Headers = { { "Content-Type", "application/grpc+proto" } } },
        };

        using var answer = await client.SendAsync(call);

        ((int)answer.StatusCode).Should().Be(200);
        answer.Content.Headers.ContentType!.ToString().Should().Be("application/grpc");
        answer.Headers.GetValues("grpc-status").Should().Equal("7");
        answer.Headers.GetValues("grpc-message").Should().Equal("Access from this address is not allowed");
        (await answer.Content.ReadAsByteArrayAsync()).Should().BeEmpty();
    }

    [TestCase("""{ "Key": "Clients", "Permits": 1 }""", "Key: 'Clients' is not valid; expected Client, Header:NAME, Host, User or All")]
    [TestCase("""{ "Key": "Header:X A", "Permits": 1 }""",
        "Key: 'Header:X A' is not valid; expected Client, Header:NAME, Host, User or All")]
    [TestCase("""{ }""", "Permits: is missing, and so is MaxInFlight; expected one of the two")]
    [TestCase("""{ "Permits": 0 }""", "Permits: '0' is out of range; expected 1 or more, or null for no limit of the rate")]
    [TestCase("""{ "Permits": 1, "MaxKeys": 0 }""", "MaxKeys: '0' is out of range; expected 1 to 10000000")]
    public void Load_RateLimitThatIsWrong_SaysWhereAndWhat(string limit, string error)
    {
        Errors($$"""{ "some": {{limit}} }""").Should().Equal("LoadBalancer:RateLimits:some:" + error);
    }

    [Test]
    public void Load_RateLimitThatIsNotDefined_SaysWhichAre()
    {
        Errors("""{ "other": { "Permits": 1 } }""", """{ "Pool": "web", "RateLimit": "some" }""").Should().Equal(
            "LoadBalancer:Listeners:web:Routes:0:RateLimit: 'some' is not defined; expected one of 'other', or None");
    }

    private static List<string> Errors(string limits, string route = "")
    {
        var file = Path.GetTempFileName();
        File.WriteAllText(file, $$"""
            { "LoadBalancer": {
                "RateLimits": {{limits}},
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web", "Routes": [ {{route}} ] } },
                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:3000" } } } } } }
            """);
        var errors = LoadBalancer.Configuration.ConfigurationLoader.Load(file).Errors.Select(error =>
            $"{error with { Line = null }}").ToList();
        File.Delete(file);
        return errors;
    }

    private static async Task<OwnedNode> StartAsync(string limit, string route)
    {
        var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        return new OwnedNode(await ConfiguredNode.StartRawAsync(Text(backend, limit, route)), backend);
    }

    private static string Text(RawServer backend, string limit, string route) => $$"""
        { "LoadBalancer": {
            "RateLimits": { "some": {{limit}} }, "Management": { "Address": "http://127.0.0.1:0" },
            "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web", "Routes": [ {{route}} ] } },
            "Pools": { "web": { "Backends": { "b": { "Address": "{{backend.Address}}" } } },
                       "api": { "Backends": { "b": { "Address": "{{backend.Address}}" } } } } } }
        """;

    private static Task<string> GetAsync(OwnedNode node, string fields = "") => GetAsync(node.Node, fields);

    private static Task<string> GetAsync(ConfiguredNode node, string fields = "", string target = "/") =>
        RawPeer.ExchangeAsync(node.Port, $"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");

    private sealed record OwnedNode(ConfiguredNode Node, RawServer Backend) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Node.DisposeAsync();
            await Backend.DisposeAsync();
        }
    }
}
