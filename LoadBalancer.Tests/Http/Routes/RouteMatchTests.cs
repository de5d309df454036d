using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Routes;

/// <summary>Which route a request takes.</summary>
internal sealed class RouteMatchTests
{
    [TestCase("""{ "Host": [ "a.test", "b.test" ], "Pool": "api" }""", "/", "", "api")]
    [TestCase("""{ "Host": [ "b.test", "*.test" ], "Pool": "api" }""", "/", "", "api")]
    [TestCase("""{ "Host": [ "b.test", "*.a.test" ], "Pool": "api" }""", "/", "", "web")]
    [TestCase("""{ "Path": "/x", "Exact": true, "Pool": "api" }""", "/x", "", "api")]
    [TestCase("""{ "Path": "/x", "Exact": true, "Pool": "api" }""", "/x?y", "", "api")]
    [TestCase("""{ "Path": "/x", "Exact": true, "Pool": "api" }""", "/x/", "", "web")]
    [TestCase("""{ "Path": "/x", "Exact": true, "Pool": "api" }""", "/x/y", "", "web")]
    [TestCase("""{ "Path": "/", "Exact": true, "Pool": "api" }""", "/", "", "api")]
    [TestCase("""{ "Path": "/", "Exact": true, "Pool": "api" }""", "/x", "", "web")]
    [TestCase("""{ "Path": "/", "Pool": "api" }""", "/x", "", "api")]
    [TestCase("""{ "Path": "/x/", "Pool": "api" }""", "/x", "", "api")]
    [TestCase("""{ "Path": "/x", "Pool": "api" }""", "//x", "", "web")]
    [TestCase("""{ "Path": "/x", "Pool": "api" }""", "/x//y", "", "api")]
    [TestCase("""{ "Path": "/x", "Pool": "api" }""", "/%78/y", "", "api")]
    [TestCase("""{ "Path": "/x", "Pool": "api" }""", "/x%2Fy", "", "web")]
    [TestCase("""{ "Path": "/x%2Fy", "Pool": "api" }""", "/x%2fy/z", "", "api")]
    [TestCase("""{ "Path": "/x", "Pool": "api" }""", "/y/%2e%2e/x", "", "api")]
    [TestCase("""{ "Path": "/é", "Pool": "api" }""", "/%C3%A9/z", "", "api")]
    [TestCase("""{ "PathPattern": "^/v[0-9]+/", "Pool": "api" }""", "/v12/x", "", "api")]
    [TestCase("""{ "PathPattern": "^/v[0-9]+/", "Pool": "api" }""", "/%76/12", "", "web")]
    [TestCase("""{ "PathPattern": "x$", "Pool": "api" }""", "/x?y", "", "api")]
    [TestCase("""{ "Methods": [ "POST", "GET" ], "Pool": "api" }""", "/", "", "api")]
    [TestCase("""{ "Methods": [ "get" ], "Pool": "api" }""", "/", "", "web")]
    [TestCase("""{ "Headers": { "X-Canary": "1*" }, "Pool": "api" }""", "/", "x-canary: 12\r\n", "api")]
    [TestCase("""{ "Headers": { "X-Canary": "1*" }, "Pool": "api" }""", "/", "X-Canary: 21\r\n", "web")]
    [TestCase("""{ "Headers": { "X-Canary": "1*" }, "Pool": "api" }""", "/", "X-Canary: 2\r\nX-Canary: 1\r\n", "api")]
    [TestCase("""{ "Headers": { "X-Canary": "*" }, "Pool": "api" }""", "/", "X-Canary: \r\n", "api")]
    [TestCase("""{ "Headers": { "X-Canary": "*" }, "Pool": "api" }""", "/", "", "web")]
    [TestCase("""{ "Headers": { "X-Canary": null }, "Pool": "api" }""", "/", "", "api")]
    [TestCase("""{ "Headers": { "X-Canary": null }, "Pool": "api" }""", "/", "X-Canary: 1\r\n", "web")]
    [TestCase("""{ "Headers": { "X-A": "1", "X-B": "2" }, "Pool": "api" }""", "/", "X-A: 1\r\n", "web")]
    [TestCase("""{ "Headers": { "X-A": "a*b*c" }, "Pool": "api" }""", "/", "X-A: a--b-c\r\n", "api")]
    [TestCase("""{ "Headers": { "X-A": "ab*bc" }, "Pool": "api" }""", "/", "X-A: abc\r\n", "web")]
    [TestCase("""{ "Headers": { "X-A": "A" }, "Pool": "api" }""", "/", "X-A: a\r\n", "web")]
    [TestCase("""{ "Query": { "debug": "*" }, "Pool": "api" }""", "/?debug", "", "api")]
    [TestCase("""{ "Query": { "debug": "*" }, "Pool": "api" }""", "/?a=1&%64ebug=2", "", "api")]
    [TestCase("""{ "Query": { "debug": "1" }, "Pool": "api" }""", "/?debug=2&debug=1", "", "api")]
    [TestCase("""{ "Query": { "debug": "*" }, "Pool": "api" }""", "/?DEBUG=1", "", "web")]
    [TestCase("""{ "Query": { "debug": null }, "Pool": "api" }""", "/?a", "", "api")]
    [TestCase("""{ "Query": { "debug": null }, "Pool": "api" }""", "/?debug", "", "web")]
    [TestCase("""{ "Cookies": { "beta": "yes" }, "Pool": "api" }""", "/", "Cookie: a=b; beta=yes\r\n", "api")]
    [TestCase("""{ "Cookies": { "beta": "yes" }, "Pool": "api" }""", "/", "Cookie: betax=yes; xbeta=yes\r\n", "web")]
    [TestCase("""{ "Cookies": { "beta": null }, "Pool": "api" }""", "/", "Cookie: a=b\r\n", "api")]
    [TestCase("""{ "Clients": [ "127.0.0.0/8" ], "Pool": "api" }""", "/", "", "api")]
    [TestCase("""{ "Clients": [ "10.0.0.0/8" ], "Pool": "api" }""", "/", "", "web")]
    [TestCase("""{ "Clients": [ "10.0.0.0/8" ], "Pool": "api" }""", "/", "X-Forwarded-For: 10.1.2.3\r\n", "web")]
    [TestCase("""{ "Path": "/a", "Methods": [ "POST" ], "Pool": "api" }, { "Pool": "canary" }""", "/a", "", "canary")]
    [TestCase("""{ "Pool": "canary" }, { "Path": "/a", "Pool": "api" }""", "/a", "", "canary")]
    [TestCase("""{ "Path": "/a/b", "Pool": "api" }, { "Path": "/a", "Pool": "canary" }""", "/a/b/c", "", "api")]
    [TestCase("""{ "Path": "/a", "Pool": "canary" }, { "Path": "/a/b", "Pool": "api" }""", "/a/b/c", "", "canary")]
    [TestCase("""{ "Host": "*.test", "Pool": "api" }, { "Host": "a.test", "Pool": "canary" }""", "/", "", "api")]
    [TestCase("""{ "Host": "a.test", "Pool": "canary" }, { "Host": "*.test", "Pool": "api" }""", "/", "", "canary")]
    public async Task Route_Conditions_AllMustHoldAndTheFirstWins(string routes, string target, string fields, string pool)
    {
        await using var node = await RouteNode.StartAsync(routes);

        (await node.LineAsync(target, fields)).Should().Be($"{pool}: GET {target}");
    }

    [Test]
    public async Task Route_ClientBehindATrustedProxy_IsTheClientItNames()
    {
        await using var node = await RouteNode.StartAsync(
            """{ "Clients": [ "10.0.0.0/8" ], "Pool": "api" }""", "\"TrustedProxies\": [ \"127.0.0.1\" ],");

        (await node.LineAsync("/", "X-Forwarded-For: 10.1.2.3\r\n")).Should().StartWith("api");
        (await node.LineAsync("/", "X-Forwarded-For: 11.1.2.3\r\n")).Should().StartWith("web");
    }

    [Test]
    public async Task Route_AThousandOfThem_EachIsFound()
    {
        var routes = Enumerable.Range(0, 1000).Select(i => $$"""{ "Path": "/p/{{i}}", "Pool": "{{(i % 2 == 0 ? "api" : "canary")}}" }""");
        await using var node = await RouteNode.StartAsync(string.Join(",", routes));

        (await node.LineAsync("/p/998/x")).Should().StartWith("api");
        (await node.LineAsync("/p/999")).Should().StartWith("canary");
        (await node.LineAsync("/p/1000")).Should().StartWith("web");
    }

    [Test]
    public async Task Split_Shares_EachPoolGetsItsPart()
    {
        await using var node = await RouteNode.StartAsync("""{ "Split": { "web": 50, "canary": 50, "api": 0 } }""");

        var served = new List<string>();
        for (var i = 0; i < 60; i++)
        {
            served.Add((await node.LineAsync("/"))[..3]);
        }

        served.Distinct().Should().BeEquivalentTo("web", "can"); // That one is missing has a probability of 2^-59.
    }

    [Test]
    public async Task Split_StickySession_ClientStaysOnItsSide()
    {
        await using var node = await RouteNode.StartAsync(
            """{ "Split": { "web": 50, "canary": 50 } }""", pool: "\"StickySession\": { \"Cookie\": \"side\" },");
        var first = await node.GetAsync("/");
        var cookie = first.Split("Set-Cookie: ")[1].Split(';')[0];
        var pool = first.Contains("X-From: web", StringComparison.Ordinal) ? "web" : "canary";

        for (var i = 0; i < 20; i++)
        {
            (await node.LineAsync("/", $"Cookie: {cookie}\r\n")).Should().StartWith(pool);
        }
    }
}
