using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Transforms;

/// <summary>The path that a backend gets.</summary>
internal sealed class TargetChangeTests
{
    private const string Strip = """{ "Path": "/api", "StripPrefix": true, "Pool": "api" }""";
    private const string StripAndAdd = """{ "Path": "/api", "StripPrefix": true, "AddPrefix": "/v2", "Pool": "api" }""";
    private const string Add = """{ "AddPrefix": "/v2/", "Pool": "api" }""";
    private const string Rewrite = """{ "Rewrite": { "Pattern": "^/old/(.*)$", "To": "/new/$1" }, "Pool": "api" }""";
    private const string Turn = """{ "Rewrite": { "Pattern": "^/([^/]*)/([^/]*)", "To": "{host}/$2/{header:X-A}/$1" }, "Pool": "api" }""";
    private const string ToQuery = """{ "Rewrite": { "Pattern": "^/item/([0-9]+)$", "To": "/item?id=$1" }, "Pool": "api" }""";

    [TestCase(Strip, "/api/x", "/x")]
    [TestCase(Strip, "/api", "/")]
    [TestCase(Strip, "/api?a=b", "/?a=b")]
    [TestCase(Strip, "/api/", "/")]
    [TestCase(Strip, "/api//x", "//x")]
    [TestCase(Strip, "/api/a%2Fb%20c?d=%2e", "/a%2Fb%20c?d=%2e")]
    [TestCase(Strip, "/%61pi/x", "/x")]
    [TestCase("""{ "Path": "/a%2Fb", "StripPrefix": true, "Pool": "api" }""", "/a%2fb/%2f", "/%2f")]
    [TestCase(Strip, "/api/a/../b", "/a/../b")]
    [TestCase(Strip, "/api/./b", "/./b")]
    [TestCase(Strip, "http://a.test/api/x", "/x")]
    [TestCase(StripAndAdd, "/api", "/v2/")]
    [TestCase(StripAndAdd, "/api/x?y", "/v2/x?y")]
    [TestCase(Add, "/", "/v2/")]
    [TestCase(Add, "/x/./y", "/v2/x/./y")]
    [TestCase(Rewrite, "/old/a%20b?c", "/new/a%20b?c")]
    [TestCase(Rewrite, "/older/a", "/older/a")]
    [TestCase(Turn, "/a/b/c", "/a.test/b/%2Fx%3F/a/c")]
    [TestCase(ToQuery, "/item/5?a", "/item?id=5&a")]
    public async Task Target_Changed_KeepsWhatItDoesNotName(string route, string sent, string received)
    {
        await using var node = await RouteNode.StartAsync(route);

        (await node.LineAsync(sent, "X-A: /x?\r\n")).Should().Be($"api: GET {received}");
    }

    [TestCase(Strip, "/x/../api/y")]
    [TestCase(Strip, "/api/x/../../api/y")]
    [TestCase(Strip, "/api/%2e%2e/api/y")]
    [TestCase(Add, "/../x")]
    [TestCase(Add, "/a/%2E./../x")]
    [TestCase(Rewrite, "/old/../old/x")]
    [TestCase(Turn, "/a/b/../../c")]
    public async Task Target_PathThatLeadsElsewhere_Is400(string route, string sent)
    {
        await using var node = await RouteNode.StartAsync(route);

        (await node.LineAsync(sent, "X-A: x\r\n")).Should().StartWith("HTTP/1.1 400");
    }

    // For the backend it would be /staff, and for the routes it is not.
    [TestCase("""{ "Pool": "api" }""")]
    [TestCase("""{ "Pool": "api", "RequestHeaders": { "Set": { "X-A": "1" } } }""")]
    [TestCase("""{ "Pool": "api", "Timeouts": { "Total": "1m" } }""")]
    [TestCase("""{ "Pool": "api", "AddPrefix": "/v2" }""")]
    public async Task Target_WithAFragment_Is400(string route)
    {
        await using var node = await RouteNode.StartAsync($$"""{ "Path": "/staff", "Pool": "web" }, {{route}}""");

        (await node.LineAsync("/staff#x")).Should().StartWith("HTTP/1.1 400");
        (await node.LineAsync("/x/../staff#/../y")).Should().StartWith("HTTP/1.1 400");
    }

    [TestCase("""{ "Rewrite": { "Pattern": "^/(.*)-(.*)$", "To": "/v2/$1$2" }, "Pool": "api" }""", "/.-./x")]
    [TestCase("""{ "Rewrite": { "Pattern": "^/(.*)-(.*)$", "To": "/v2/$1$2" }, "Pool": "api" }""", "/%2e-%2E/x")]
    [TestCase("""{ "Rewrite": { "Pattern": "^/x$", "To": "/v2/.{header:X-A}/x" }, "Pool": "api" }""", "/x")]
    [TestCase("""{ "Rewrite": { "Pattern": "^/x$", "To": "/v2/{header:X-A}{header:X-A}/x" }, "Pool": "api" }""", "/x")]
    public async Task Rewrite_PartsThatMakeADotSegmentTogether_Is400(string route, string sent)
    {
        await using var node = await RouteNode.StartAsync(route);

        (await node.LineAsync(sent, "X-A: .\r\n")).Should().StartWith("HTTP/1.1 400");
    }

    [Test]
    public async Task Rewrite_ValueThatIsADotSegment_Is400()
    {
        await using var node = await RouteNode.StartAsync(Turn);

        (await node.LineAsync("/a/b", "X-A: ..\r\n")).Should().StartWith("HTTP/1.1 400");
    }

    /// <summary>Whatever the target: the backend of a stripped route gets a path below the route's, or the answer is 400.</summary>
    [Test]
    public async Task Target_AnySpelling_RouteAndBackendAgree()
    {
        const string Routes = """
            { "Path": "/secret", "Respond": { "Status": 403 } },
            { "Path": "/api", "StripPrefix": true, "AddPrefix": "/pub", "Pool": "api" },
            { "Path": "/old", "Rewrite": { "Pattern": "^/old", "To": "/pub" }, "Pool": "canary" }
            """;
        await using var node = await RouteNode.StartAsync(Routes);
        var random = new Random(7);
        string[] parts = ["secret", "%73ecret", "SECRET", "api", "%61pi", "old", "..", ".", "%2e%2e", ".%2E", "", "x", "%2F", "%2fsecret",
            "..;"];
        for (var i = 0; i < 400; i++)
        {
            var target = "/" + string.Join('/', Enumerable.Range(0, random.Next(1, 6)).Select(_ => parts[random.Next(parts.Length)]));

            var line = await node.LineAsync(target);

            if (line.Split(": GET ") is [var pool, var received])
            {
                var resolved = new Uri("http://a" + received.Replace("%2F", "-", StringComparison.OrdinalIgnoreCase)).AbsolutePath;
                resolved.Should().NotMatchRegex("^/secret(/|$)", "{0} became {1}", target, received);
                if (pool != "web")
                {
                    resolved.Should().MatchRegex("^/pub(/|$)", "{0} became {1}", target, received);
                }
            }
            else
            {
                line.Should().MatchRegex("HTTP/1.1 40[03]", "{0}", target);
            }
        }
    }
}
