using System.Net;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

/// <summary>Changes of a pool while it runs, and how they differ from the file.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class PoolSettingsTests : IAsyncDisposable
{
    private const string Pools = """
        { "web": { "MaxInFlight": 5, "Backends": {
            "b1": { "Address": "http://127.0.0.1:1" }, "b2": { "Address": "http://127.0.0.1:2" },
            "b3": { "Address": "http://127.0.0.1:3" } } } }
        """;

    private ConfiguredNode _node = null!;

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [SetUp]
    public async Task SetUpAsync() => _node = await ConfiguredNode.StartAsync(Pools);

    [Test]
    public async Task Patch_PolicyAndQueue_HoldAtOnceAndLeaveTheMembersAlone()
    {
        await SendAsync("PUT", "/api/pools/web/backends/b4", """{"address":"http://127.0.0.1:4"}""");
        await SendAsync("DELETE", "/api/pools/web/backends/b2");
        await Eventually.BeTrueAsync(() => _node.Pool.Snapshot.Members.Length == 3, "it is gone");
        var members = _node.Pool.Snapshot.Members;

        var (status, json) = await SendAsync("PATCH", "/api/pools/web", """{"policy":"First","queue":{"limit":7,"timeout":"2s"}}""");

        status.Should().Be(HttpStatusCode.OK);
        json["settings"]!.ToJsonString().Should().Be("""{"policy":"First","hashKey":null,"queue":{"limit":7,"timeout":"00:00:02"}}""");
        (_node.Pool.Snapshot.Policy.Name, _node.Pool.RequestQueue.Limit).Should().Be(("First", 7));
        _node.Pool.Snapshot.Members.Should().Equal(members);
        (await EventsAsync()).Should().Contain("was changed: Policy First, Queue of 7 for 00:00:02");
        await _node.Log.SaysAsync("pool 'web' was changed by an operator: Policy First, Queue of 7 for 00:00:02");
    }

    [Test]
    public async Task Patch_QueueTimeout_HoldsForTheNextRequest()
    {
        await SendAsync("PATCH", "/api/pools/web", """{"queue":{"limit":1,"timeout":"1ms"}}""");
        _node.Pool.Change(() => _node.Pool.Snapshot.Members.ToList().ForEach(member => member.LimitTo(0)));

        using var answer = await _node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable, "it has waited for a moment only");
    }

    [TestCase("""{"policy":"Fisrt"}""", "policy 'Fisrt' is not valid; expected RoundRobin or *")]
    [TestCase("""{"policy":1}""", "policy 1 is not valid; expected for example *")]
    [TestCase("""{"queue":{"limit":-1}}""", "Queue:Limit: '-1' is out of range; expected 0 (no queue) or more*")]
    [TestCase("""{"queue":{"limit":1.5}}""", "queue.limit 1.5 is not valid; expected for example *")]
    [TestCase("""{"queue":{"timeout":"soon"}}""", "queue.timeout 'soon' *")]
    [TestCase("""{"queue":{"size":1}}""", "'queue.size' cannot be changed; expected for example *")]
    [TestCase("""{"queue":5}""", "queue 5 is not valid; expected for example *")]
    [TestCase("""{"hashKey":"Header:X"}""", "HashKey: *")]
    [TestCase("""{"policy":"Hash","hashKey":"Nonsense"}""", "HashKey: *")]
    [TestCase("""{"retry":{}}""", "'retry' cannot be changed; expected for example *")]
    [TestCase("{}", "there is nothing to change; expected for example *")]
    [TestCase("[]", "the body is not a JSON object; expected for example {\"policy\":\"LeastConnections\"}*")]
    public async Task Patch_Nonsense_SaysWhatWasExpectedAndChangesNothing(string body, string error)
    {
        using var content = new StringContent(body);
        using var answer = await _node.Management.PatchAsync("/api/pools/web", content);

        answer.StatusCode.Should().Be(HttpStatusCode.BadRequest);
        (await answer.Content.ReadAsStringAsync()).Should().Match(error);
        _node.Pool.Snapshot.Policy.Name.Should().Be("RoundRobin");
    }

    [Test]
    public async Task Patch_IfMatch_IsMadeOnlyWhereNothingHasChangedMeanwhile()
    {
        using var read = await _node.Management.GetAsync("/api/pools/web");

        (await StatusAsync("First")).Should().Be(HttpStatusCode.OK);
        (await StatusAsync("Random")).Should().Be(HttpStatusCode.PreconditionFailed);

        async Task<HttpStatusCode> StatusAsync(string policy)
        {
            using var request = new HttpRequestMessage(HttpMethod.Patch, "/api/pools/web");
            request.Content = new StringContent($$"""{"policy":"{{policy}}"}""");
            request.Headers.IfMatch.Add(read.Headers.ETag!);
            using var answer = await _node.Management.SendAsync(request);
            return answer.StatusCode;
        }
    }

    [Test]
    public async Task Undo_OfAPatch_GivesBackWhatWas()
    {
        await SendAsync("PATCH", "/api/pools/web", """{"policy":"First"}""");
        var audit = JsonNode.Parse(await _node.Management.GetStringAsync("/api/audit"))!;
        var undo = $"/api/audit/{audit["entries"]![0]!["id"]}/undo";

        (await SendAsync("POST", undo)).Status.Should().Be(HttpStatusCode.OK);

        _node.Pool.Snapshot.Policy.Name.Should().Be("RoundRobin");
        (await SendAsync("POST", undo)).Status.Should().Be(HttpStatusCode.Conflict);
    }

    [Test]
    public async Task Reload_OfTheSameSettings_LeavesWhatAnOperatorHasChanged()
    {
        await SendAsync("PATCH", "/api/pools/web", """{"policy":"First","queue":{"limit":7}}""");

        await ReloadAsync(Pools.Replace("\"web\": {", "\"web\": { \"Queue\": { \"Limit\": 3 },", StringComparison.Ordinal));

        (_node.Pool.Snapshot.Policy.Name, _node.Pool.RequestQueue.Limit).Should().Be(("First", 3), "the file has changed the limit only");
        await ReloadAsync(Pools);
        (_node.Pool.Snapshot.Policy.Name, _node.Pool.RequestQueue.Limit).Should().Be(("First", 0));
    }

    [Test]
    public async Task Reload_TheSettingDoesNotFitAnyMore_IsAsTheFileSays()
    {
        await SendAsync("PATCH", "/api/pools/web", """{"policy":"Hash","hashKey":"Path"}""");

        await ReloadAsync(Pools.Replace("\"web\": {", "\"web\": { \"Policy\": \"Random\",", StringComparison.Ordinal));

        _node.Pool.Snapshot.Policy.Name.Should().Be("Random", "a pool with another policy cannot have the operator's hash key");
    }

    [Test]
    public async Task Config_Differences_AreAPatchOfTheFile()
    {
        (await ConfigAsync())["differences"]!.ToJsonString().Should().Be("{}");
        await SendAsync("PATCH", "/api/pools/web", """{"policy":"First","queue":{"limit":7}}""");
        await SendAsync("PATCH", "/api/pools/web/backends/b1", """{"weight":5,"adminState":"Draining"}""");
        await SendAsync("PUT", "/api/pools/web/backends/b3", """{"address":"http://127.0.0.1:33"}""");
        await SendAsync("PUT", "/api/pools/web/backends/b4", """{"address":"http://127.0.0.1:4","weight":2}""");
        await SendAsync("DELETE", "/api/pools/web/backends/b2");

        var differences = (await ConfigAsync())["differences"]!;

        differences.ToJsonString().Should().Be(
            """{"LoadBalancer":{"Pools":{"web":{"Policy":"First","Queue":{"Limit":7},"Backends":{"""
            + "\"b1\":{\"Weight\":5,\"AdminState\":\"Draining\"},\"b2\":null,"
            + "\"b3\":{\"Address\":\"http://127.0.0.1:33\"},\"b4\":{\"Address\":\"http://127.0.0.1:4\",\"Weight\":2}}}}}}");
        var before = Describe();
        await ReloadAsync(Merge(JsonNode.Parse(Pools)!, differences["LoadBalancer"]!["Pools"]!)!.ToJsonString());
        (await ConfigAsync())["differences"]!.ToJsonString().Should().Be("{}");
        Describe().Should().Be(before, "the file says now what the operator has done");

        string Describe() => $"{_node.Pool.Snapshot.Policy.Name} {_node.Pool.RequestQueue.Limit} " + string.Join(
            ", ", _node.Pool.Snapshot.Members.OrderBy(member => member.Name).Select(member =>
                $"{member.Name} {member.Address} {member.Weight} {member.AdminState}"));
    }

    [Test]
    public async Task Config_Always_HasEverySettingAndNoSecret()
    {
        await _node.DisposeAsync();
        using var folder = new TemporaryDirectory();
        _node = await ConfiguredNode.StartAsync(
            """
            { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1", "MaxInFlight": "Auto" } }, "Hedge": { "After": "p90" },
                "HealthCheck": { "Headers": { "Authorization": "hush-1" }, "Interval": "1h", "Path": "/up?key=hush-7" } },
              "chat": { "Heartbeat": { "Address": "udp://127.0.0.1:0", "Key": "aHVzaC0yaHVzaC0yaHVzaC0yaHVzaC0yaHVzaC0yaHVzaC0y" },
                "Backends": { "c1": { "Address": "tcp://127.0.0.1:2", "HeartbeatAddress": "udp://127.0.0.1:3" } } } }
            """,
            """
            "Routes": [ { "Path": "/x", "Headers": { "X-Key": "hush-3" }, "Query": { "key": "hush-4", "old": null }, "Pool": "web",
                "RequestHeaders": { "Set": { "X-Token": "hush-5" } }, "Compression": "None" } ],
            """,
            """{ "Address": "http://127.0.0.1:0", "Token": "hush-6" }""");
        _node.Management.DefaultRequestHeaders.Authorization = new("Bearer", "hush-6");

        var config = await ConfigAsync();

        config.ToJsonString().Should().NotContain("hush").And.NotContain("aHVzaC0y").And.Contain("X-Token").And.Contain("\"old\":null");
        var root = config["configuration"]!["LoadBalancer"]!;
        root["Management"]!["Token"]!.ToString().Should().Be("***");
        root["Pools"]!["chat"]!["Heartbeat"]!["Key"]!.ToString().Should().Be("***");
        root["Pools"]!["web"]!["HealthCheck"]!["Path"]!.ToString().Should().Be("/up?***");
        root["Pools"]!["web"]!["Timeouts"]!["Connect"].Should().NotBeNull("defaults are there too");
        root["Listeners"]!["web"]!["Protocol"]!.ToString().Should().Be("Http");
        config["file"]!.ToString().Should().EndWith(".tmp");
    }

    [Test]
    public void Options_WithQueriesAndTexts_AreShownWithoutThem()
    {
        OptionsJson.Of(new HealthCheckOptions { Send = "login hush" }).ToJsonString().Should().NotContain("hush");
        OptionsJson.Of(new AcmeOptions { Directory = "https://ca.test/a?key=hush" })["Directory"]!.ToString()
            .Should().Be("https://ca.test/a?***");
        var authentication = OptionsJson.Of(new AuthenticationOptions
        {
            Address = "https://u:hu?sh@auth.test/check?key=hush",
            KeysAddress = "https://id.test/keys",
        });
        authentication["Address"]!.ToString().Should().Be("https://***@auth.test/check?***");
        authentication["KeysAddress"]!.ToString().Should().Be("https://id.test/keys");
    }

    [Test]
    public void Options_AsJson_AreReadAsTheSame()
    {
        using var folder = new TemporaryDirectory();
        File.WriteAllText(folder.File("a.json"), $$"""
            { "LoadBalancer": {
                "Listeners": {
                  "web": { "Address": "http://127.0.0.1:8080", "Pool": "web", "HttpVersion": "1.1+2",
                    "TrustedProxies": [ "10.0.0.0/8", "unix:" ],
                    "Routes": [ { "Path": "/x", "Split": { "web": 1, "hash": 3 }, "Compression": "None", "Allow": [] },
                      { "Redirect": { "To": "https://x/" } } ] },
                  "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:8082", "Pool": "raw", "IdleTimeout": "5m" } },
                "Pools": {
                  "web": { "Hedge": { "After": "p99.5" }, "HttpVersion": "2", "SlowStart": "1500ms", "Timeouts": { "Connect": "3s" },
                    "Backends": { "b": { "Address": "http://127.0.0.1:1", "MaxInFlight": "Auto" } } },
                  "hash": { "Policy": "Hash", "HashKey": "Path", "Hedge": { "After": "20ms" },
                    "Backends": { "a": { "Address": "http://127.0.0.1:3", "Weight": 7, "Backup": true, "MaxInFlight": 9 } } },
                  "raw": { "Backends": { "r": { "Address": "tcp://127.0.0.1:4" } } } } } }
            """);
        var loaded = LoadBalancer.Configuration.ConfigurationLoader.Load(folder.File("a.json"));
        loaded.Errors.Should().BeEmpty();

        var json = new JsonObject { ["LoadBalancer"] = OptionsJson.Of(loaded.Options) };
        File.WriteAllText(folder.File("b.json"), json.ToJsonString());

        var again = LoadBalancer.Configuration.ConfigurationLoader.Load(folder.File("b.json"));
        again.Errors.Should().BeEmpty();
        OptionsJson.Of(again.Options).ToJsonString().Should().Be(OptionsJson.Of(loaded.Options).ToJsonString());
        again.Options.Pools["web"].Hedge.Should().BeEquivalentTo(loaded.Options.Pools["web"].Hedge);
        again.Options.Pools["web"].Backends["b"].MaxInFlight.Should().Be(InFlightLimit.Auto);
    }

    // What a new setting with such a name is: if it is no secret, add it here.
    [Test]
    public void Options_ThatMayBeSecrets_AreMarked()
    {
        string[] known =
        [
            "PoolOptions.HashKey", "RateLimitOptions.Key", "RateLimitOptions.MaxKeys", "ManagementTokenOptions.TokenFile",
            "ManagementOptions.TokenFile", "ManagementOptions.Tokens", "ClusterOptions.PasswordFile",
            "ClusterOptions.SecretFile",
            "CertificateOptions.KeyFile", "CertificateOptions.KeyPasswordFile", "StickySessionOptions.KeyFile",
            "AuthenticationOptions.KeysFile",
        ];

        string[] parts = ["Key", "Token", "Password", "Secret"];

        typeof(LoadBalancerOptions).Assembly.GetTypes()
            .Where(type => type.Namespace == typeof(LoadBalancerOptions).Namespace && type.IsPublic)
            .SelectMany(type => type.GetProperties().Where(property => property.SetMethod is not null))
            .Where(property => parts.Any(part => property.Name.Contains(part, StringComparison.Ordinal)))
            .Where(property => !property.IsDefined(typeof(SecretAttribute), true))
            .Select(property => $"{property.DeclaringType!.Name}.{property.Name}")
            .Where(name => !known.Contains(name)).Should().BeEmpty();
    }

    // RFC 7396.
    private static JsonNode? Merge(JsonNode? target, JsonNode? patch)
    {
        if (patch is not JsonObject changes)
        {
            return patch?.DeepClone();
        }
        var merged = target is JsonObject before ? (JsonObject)before.DeepClone() : [];
        foreach (var (name, value) in changes)
        {
            if (value is null)
            {
                merged.Remove(name);
            }
            else
            {
                merged[name] = Merge(merged[name], value);
            }
        }
        return merged;
    }

    private async Task ReloadAsync(string pools)
    {
        await _node.WriteAsync(pools);
        (await SendAsync("POST", "/api/reload")).Status.Should().Be(HttpStatusCode.OK);
    }

    private async Task<JsonNode> ConfigAsync() => JsonNode.Parse(await _node.Management.GetStringAsync("/api/config"))!;

    private Task<string> EventsAsync() => _node.Management.GetStringAsync("/api/events?since=0");

    private async Task<(HttpStatusCode Status, JsonNode Json)> SendAsync(string method, string path, string? body = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        request.Content = body is null ? null : new StringContent(body);
        request.Headers.Accept.ParseAdd("application/json");
        using var answer = await _node.Management.SendAsync(request);
        return (answer.StatusCode, JsonNode.Parse(await answer.Content.ReadAsStringAsync())!);
    }
}
