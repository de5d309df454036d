using System.Net;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

/// <summary>What the API says about a node: its listeners, routes, events, and parts of long lists.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class NodeApiTests : IAsyncDisposable
{
    private const string Pools = """
        { "web": { "Backends": {
            "b1": { "Address": "http://127.0.0.1:1" }, "b2": { "Address": "http://127.0.0.1:2" },
            "b3": { "Address": "http://127.0.0.1:3" } } },
          "api": { "Backends": { "a1": { "Address": "http://127.0.0.1:4" } } } }
        """;

    private ConfiguredNode _node = null!;

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Test]
    public async Task Version_Always_IsThatOfTheProgram()
    {
        await StartAsync();

        var version = await GetAsync("/api/version");

        (version["version"]!.ToString(), version["build"]!.ToString()).Should().Be((BuildInformation.Version, "JIT"));
        version["runtime"]!.ToString().Should().StartWith(".NET 10.");
    }

    [Test]
    public async Task Node_Always_NamesItsHostItsUserAndItsLastReload()
    {
        await StartAsync();
        (await GetAsync("/api/node"))["lastReload"].Should().BeNull();
        await _node.WriteAsync(Pools.Replace("Address", "Adress", StringComparison.Ordinal));
        (await _node.Management.PostAsync("/api/reload", null)).Dispose();

        var node = await GetAsync("/api/node");

        node["host"]!.ToString().Should().Be(Environment.MachineName);
        node["user"]!.ToJsonString().Should().Be("""{"name":"-","role":"Operator"}""");
        var reload = node["lastReload"]!;
        reload["applied"]!.GetValue<bool>().Should().BeFalse();
        reload["errors"]![0]!.ToString().Should().Contain("Adress");
        DateTimeOffset.Parse(reload["time"]!.ToString()).Should().BeAfter(DateTimeOffset.UnixEpoch);
    }

    [Test]
    public async Task Listeners_Always_SayWhereTheyListenAndWhoIsThere()
    {
        await StartAsync();
        using var peer = await RawPeer.ConnectAsync(_node.Port);
        await peer.SendAsync("GET /no HTTP/1.1\r\nHost: x\r\n\r\n");
        await peer.ReadResponseAsync();

        var listeners = (await GetAsync("/api/listeners"))["listeners"]!.AsArray();

        listeners.Select(listener => $"{listener!["name"]} {listener["protocol"]}").Should().Equal("web Http", "management Management");
        listeners[0]!["addresses"]!.ToJsonString().Should().Be($"[\"http://127.0.0.1:{_node.Port}\"]");
        listeners[0]!["openConnections"]!.GetValue<int>().Should().Be(1);
        listeners[0]!["refusedConnections"]!.GetValue<long>().Should().Be(0);
        listeners[0]!["certificates"]!.AsArray().Should().BeEmpty();
        listeners[1]!["addresses"]![0]!.ToString().Should().Be(_node.Management.BaseAddress!.ToString().TrimEnd('/'));
    }

    [Test]
    public async Task Routes_Always_SayWhatTheyTakeAndWhatBecomesOfIt()
    {
        await StartAsync("""
            "Routes": [
                { "Name": "key", "Path": "/api", "Headers": { "X-Key": "secret*" }, "Methods": [ "GET" ], "Pool": "api" },
                { "Host": "old.test", "Redirect": { "To": "https://new.test/", "Status": 301 } } ],
            """);
        (await _node.Client.GetAsync("/")).Dispose(); // no backend can be reached
        JsonArray routes = [];
        await Eventually.BeTrueAsync( // It is counted after it was answered.
            async () => (routes = (await GetAsync("/api/routes"))["routes"]!.AsArray())[2]!["errors"]!.GetValue<long>() > 0,
            "the error is counted");

        routes.Select(route => $"{route!["listener"]}/{route["name"]}").Should().Equal("web/key", "web/2", "web/");
        routes[0]!["match"]!.ToJsonString().Should().Be("""{"path":"/api","methods":["GET"],"headers":{"X-Key":"***"}}""");
        routes[0]!["action"]!.ToJsonString().Should().Be("""{"pool":"api"}""");
        routes[1]!["match"]!.ToJsonString().Should().Be("""{"host":["old.test"]}""");
        routes[1]!["action"]!["redirect"]!["to"]!.ToString().Should().Be("https://new.test/");
        routes[2]!["action"]!.ToJsonString().Should().Be("""{"pool":"web"}""");
        routes.Select(route => route!["errors"]!.GetValue<long>()).Should().Equal(0, 0, 1);
    }

    [Test]
    public async Task Events_SinceANumber_AreThoseAfterIt()
    {
        await StartAsync();
        var none = await GetAsync("/api/events?since=0");
        var begin = none["last"]!.GetValue<long>();
        none.ToJsonString().Should().Be($$"""{"events":[],"last":{{begin}},"complete":true}""");
        for (var weight = 2; weight < 7; weight++)
        {
            await PatchAsync("b1", weight);
        }

        var all = await GetAsync("/api/events?since=0");
        var later = await GetAsync($"/api/events?since={begin + 3}");
        var first = await _node.Management.GetAsync("/api/events?since=0&limit=2");
        var foreign = await GetAsync($"/api/events?since={begin + 99}");
        var earlier = await GetAsync($"/api/events?since={begin - 1}");

        IdsOf(all).Should().Equal(Enumerable.Range(1, 5).Select(i => begin + i));
        all["complete"]!.GetValue<bool>().Should().BeTrue();
        IdsOf(later).Should().Equal(begin + 4, begin + 5);
        (later["last"]!.GetValue<long>(), later["complete"]!.GetValue<bool>()).Should().Be((begin + 5, true));
        first.Headers.GetValues("Link").Should().Equal($"</api/events?limit=2&since={begin + 2}>; rel=\"next\"");
        foreign["complete"]!.GetValue<bool>().Should().BeFalse("these events are of another process");
        IdsOf(foreign).Should().HaveCount(5);
        earlier["complete"]!.GetValue<bool>().Should().BeFalse("the process before this one had that number");
        IdsOf(earlier).Should().HaveCount(5);
    }

    [Test]
    public async Task Events_MoreThanAreRemembered_AreNotComplete()
    {
        await StartAsync();
        for (var i = 0; i < 11; i++)
        {
            await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => PatchAsync("b1", null)));
        }

        var log = await GetAsync("/api/events?since=0");

        log["complete"]!.GetValue<bool>().Should().BeFalse();
        var ids = IdsOf(log).ToList();
        ids.Should().HaveCount(1000).And.BeInAscendingOrder();
        (await GetAsync($"/api/events?since={ids[0] - 1}"))["complete"]!.GetValue<bool>().Should().BeTrue();
    }

    [TestCase("/api/pools", "pools", "api,web")]
    [TestCase("/api/pools/web/backends", null, "b1,b2,b3")]
    [TestCase("/api/listeners", "listeners", "management,web")]
    public async Task List_InParts_IsTheWholeListInTheOrderOfNames(string path, string? field, string names)
    {
        await StartAsync();

        var (seen, next) = (new List<string>(), $"{path}?limit=1");
        while (next is not null)
        {
            using var answer = await _node.Management.GetAsync(next);
            var json = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
            seen.AddRange((field is null ? json : json[field]!).AsArray().Select(item => item!["name"]!.ToString()));
            next = answer.Headers.TryGetValues("Link", out var link) ? link.Single().Split('<', '>')[1] : null;
        }

        seen.Should().Equal(names.Split(','));
    }

    [Test]
    public async Task List_SomethingGoesBetweenTwoParts_LosesNothingElse()
    {
        await StartAsync();
        using var first = await _node.Management.GetAsync("/api/pools/web/backends?limit=2&state=ready");
        (await _node.Management.DeleteAsync("/api/pools/web/backends/b2")).Dispose();

        var rest = await GetAsync(first.Headers.GetValues("Link").Single().Split('<', '>')[1]);

        rest.AsArray().Select(item => item!["name"]!.ToString()).Should().Equal("b3");
    }

    [TestCase("down", "b1")]
    [TestCase("up", "b2,b3")]
    [TestCase("draining", "b2")]
    [TestCase("disabled", "b3")]
    [TestCase("ready", "b1")]
    public async Task Backends_OfAState_AreThoseOnly(string state, string names)
    {
        await StartAsync();
        _node.Pool.Snapshot.Members[0].Health.Eject();
        await PatchTextAsync("b2", """{"adminState":"Draining"}""");
        await PatchTextAsync("b3", """{"adminState":"Disabled"}""");

        var backends = await GetAsync($"/api/pools/web/backends?state={state}");

        backends.AsArray().Select(item => item!["name"]!.ToString()).Should().Equal(names.Split(','));
    }

    [TestCase("/api/pools?limit=0", "limit '0' is not valid; expected a whole number from 1 to 1000")]
    [TestCase("/api/pools?limit=x", "limit 'x' is not valid; expected a whole number from 1 to 1000")]
    [TestCase("/api/events?since=-1", "since '-1' is not valid; expected a whole number, 0 or more")]
    [TestCase("/api/audit?after=x", "after 'x' is not valid; expected a whole number, 0 or more")]
    [TestCase("/api/pools/web/backends?state=off", "state 'off' is not valid; expected up, down, ready, draining or disabled")]
    public async Task Query_NotValid_SaysWhatWasExpected(string path, string error)
    {
        await StartAsync();

        using var answer = await _node.Management.GetAsync(path);

        answer.StatusCode.Should().Be(HttpStatusCode.BadRequest);
        (await answer.Content.ReadAsStringAsync()).Should().Be(error + "\n");
    }

    private static IEnumerable<long> IdsOf(JsonNode log) => log["events"]!.AsArray().Select(change => change!["id"]!.GetValue<long>());

    private async Task StartAsync(string listener = "") => _node = await ConfiguredNode.StartAsync(Pools, listener);

    private async Task<JsonNode> GetAsync(string path) => JsonNode.Parse(await _node.Management.GetStringAsync(path))!;

    private int _weight = 1;

    // Each with another weight, so that each is an event.
    private Task PatchAsync(string backend, int? weight) =>
        PatchTextAsync(backend, $$"""{"weight":{{weight ?? Interlocked.Increment(ref _weight) % 1000}}}""");

    private async Task PatchTextAsync(string backend, string json)
    {
        using var body = new StringContent(json);
        using var answer = await _node.Management.PatchAsync($"/api/pools/web/backends/{backend}", body);
        answer.StatusCode.Should().Be(HttpStatusCode.OK);
    }
}
