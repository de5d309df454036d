using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Routes;

/// <summary>What is counted for each route.</summary>
internal sealed class RouteStatisticsTests
{
    private const string Routes = """
        { "Name": "api", "Path": "/api", "Pool": "api" },
        { "Path": "/own", "Respond": { "Status": 404 } },
        { "Name": "inside", "Path": "/inside", "Pool": "api", "Deny": [ "127.0.0.0/8" ] }
        """;

    [Test]
    public async Task Metrics_OfRoutes_CountEveryAnswerByItsClass()
    {
        await using var node = await RouteNode.StartAsync(Routes);

        await node.GetAsync("/api");
        await node.GetAsync("/api", method: "TRACE");
        await node.GetAsync("/own");
        await node.GetAsync("/inside");
        await node.GetAsync("/other");

        (await LinesAsync(node, 5)).Should().BeEquivalentTo(
            Line("api", "2xx", 1), Line("api", "4xx", 1), Line("2", "4xx", 1), Line("inside", "4xx", 1), Line("", "2xx", 1));
        (await node.Node.Management.GetStringAsync("/metrics")).Should().Contain(
            "loadbalancer_route_request_duration_seconds_count{listener=\"web\",route=\"api\"} 2\n");
    }

    [Test]
    public async Task Metrics_OfAListenerWithoutRoutes_HaveNone()
    {
        await using var node = await RouteNode.StartAsync("");

        await node.GetAsync("/");

        (await node.Node.Management.GetStringAsync("/metrics")).Should().NotContain("loadbalancer_route_requests_total{")
            .And.NotContain("loadbalancer_route_request_duration_seconds_count{");
    }

    [Test]
    public async Task Reload_RoutesThatStay_GoOnCounting()
    {
        await using var node = await RouteNode.StartAsync(Routes);
        string Configuration(string route) => $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web", "Routes": [ {{route}} ] } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } },
                "Management": { "Address": "http://127.0.0.1:0" } } }
            """;
        await node.GetAsync("/api");
        await node.GetAsync("/own");
        await LinesAsync(node, 2);

        await node.Node.ApplyAsync(Configuration("""{ "Name": "api", "Respond": { "Status": 500 } }"""));
        await node.GetAsync("/");

        (await LinesAsync(node, 2)).Should().BeEquivalentTo(Line("api", "2xx", 1), Line("api", "5xx", 1));
    }

    [Test]
    public async Task Api_Routes_AreInTheOrderOfTheConfiguration()
    {
        await using var node = await RouteNode.StartAsync(Routes);

        await node.GetAsync("/own");
        await LinesAsync(node, 1);

        var routes = JsonNode.Parse(await node.Node.Management.GetStringAsync("/api/routes"))!["routes"]!.AsArray();
        routes.Select(route => $"{route!["listener"]} {route["name"]} {route["requests"]}")
            .Should().Equal("web api 0", "web 2 1", "web inside 0", "web  0");
        routes[0]!.AsObject().Select(entry => entry.Key).Should()
            .Equal("listener", "name", "requests", "requestsPerSecond", "errorShare", "p50Ms", "p99Ms", "errors", "match", "action");
    }

    [Test]
    public async Task Client_LeavesBeforeTheAnswer_IsCountedAs499()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                // It never answers.
            }
        });
        await using var node = await ConfiguredNode.StartAsync(
            $$"""{ "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } } }""",
            "\"Routes\": [ { \"Name\": \"slow\", \"Pool\": \"web\" } ],");

        using (var client = await RawPeer.ConnectAsync(node.Port))
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the request is with the backend");
        }

        await Eventually.BeTrueAsync(
            async () => (await node.Management.GetStringAsync("/metrics")).Contains(Line("slow", "4xx", 1), StringComparison.Ordinal),
            "it is counted");
    }

    // An answer is counted a moment after the client has it.
    private static async Task<string[]> LinesAsync(RouteNode node, int count)
    {
        string[] lines = [];
        await Eventually.BeTrueAsync(
            async () =>
            {
                lines = [.. (await node.Node.Management.GetStringAsync("/metrics")).Split('\n')
                    .Where(line => line.StartsWith("loadbalancer_route_requests_total{", StringComparison.Ordinal))];
                return lines.Sum(line => int.Parse(line.Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture)) >= count;
            },
            "all answers are counted");
        return lines;
    }

    private static string Line(string route, string code, int count) =>
        $"loadbalancer_route_requests_total{{listener=\"web\",route=\"{route}\",code=\"{code}\"}} {count}";
}
