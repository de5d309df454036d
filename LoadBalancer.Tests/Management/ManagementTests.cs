using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

/// <summary>The API for operators, over real sockets.</summary>
internal sealed class ManagementTests
{
    private RawServer _one = null!;
    private RawServer _two = null!;
    private ConfiguredNode _node = null!;

    [SetUp]
    public async Task SetUpAsync()
    {
        _one = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        _two = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
        var backends = $$"""{ "b1": { "Address": "{{_one.Address}}" }, "b2": { "Address": "{{_two.Address}}" } }""";
        _node = await ConfiguredNode.StartAsync($$"""{ "web": { "Backends": {{backends}}, "Retry": { "Attempts": 1 } } }""");
    }

    [TearDown]
    public async Task TearDownAsync()
    {
        await _node.DisposeAsync();
        await _one.DisposeAsync();
        await _two.DisposeAsync();
    }

    [Test]
    public async Task Health_SomebodyEligible_IsOk()
    {
        using var answer = await _node.Management.GetAsync("/health");

        answer.StatusCode.Should().Be(HttpStatusCode.OK);
        (await answer.Content.ReadAsStringAsync()).Should().Be(
            $$$"""{"status":"ok","backends":{"{{{_one.Address}}}":true,"{{{_two.Address}}}":true}}""");
    }

    [Test]
    public async Task Health_NobodyEligible_Is503()
    {
        await PatchAsync("b1", """{"adminState":"Disabled"}""");
        await PatchAsync("b2", """{"adminState":"Draining"}""");

        using var answer = await _node.Management.GetAsync("/health");

        answer.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        (await answer.Content.ReadAsStringAsync()).Should().StartWith("""{"status":"unavailable",""");
    }

    [Test]
    public async Task Pools_Always_TellAllThatTheContractNames()
    {
        await _node.Client.GetStringAsync("/");

        using var json = JsonDocument.Parse(await _node.Management.GetStringAsync("/api/pools"));

        var pool = json.RootElement.GetProperty("pools").EnumerateArray().Single();
        (pool.GetProperty("name").GetString(), pool.GetProperty("policy").GetString()).Should().Be(("web", "RoundRobin"));
        var backend = pool.GetProperty("backends")[0];
        backend.GetProperty("name").GetString().Should().Be("b1");
        backend.GetProperty("address").GetString().Should().Be(_one.Address);
        backend.GetProperty("weight").GetInt32().Should().Be(1);
        backend.GetProperty("adminState").GetString().Should().Be("Ready");
        backend.GetProperty("healthy").GetBoolean().Should().BeTrue();
        backend.GetProperty("reason").ValueKind.Should().Be(JsonValueKind.String);
        backend.GetProperty("inFlight").GetInt32().Should().Be(0);
        backend.GetProperty("requests").GetInt64().Should().Be(1);
        backend.GetProperty("failures").GetInt64().Should().Be(0);
        backend.GetProperty("responseTimeMs").GetDouble().Should().BePositive();
    }

    [Test]
    public async Task Patch_StateAndWeight_HoldForTheNextRequests()
    {
        var (status, text) = await PatchAsync("b1", """{"adminState":"Draining"}""");
        status.Should().Be(HttpStatusCode.OK);
        text.Should().Contain("\"adminState\":\"Draining\"");
        (await AnswersAsync(4)).Should().OnlyContain(answer => answer == "two");

        await PatchAsync("b1", """{"adminState":"Ready","weight":3}""");
        (await AnswersAsync(8)).Count(answer => answer == "one").Should().Be(6);
        await PatchAsync("b2", """{"weight":0}""");
        (await AnswersAsync(4)).Should().OnlyContain(answer => answer == "one");
    }

    [TestCase("web", "b1", """{"adminState":"Off"}""", 400,
        "adminState \"Off\" is not valid; expected \"Ready\", \"Draining\" or \"Disabled\"\n")]
    [TestCase("web", "b1", """{"adminState":1}""", 400, "adminState 1 is not valid; expected \"Ready\", \"Draining\" or \"Disabled\"\n")]
    [TestCase("web", "b1", """{"weight":-1}""", 400, "weight -1 is not valid; expected a whole number from 0 to 1000\n")]
    [TestCase("web", "b1", """{"weight":1.5}""", 400, "weight 1.5 is not valid; expected a whole number from 0 to 1000\n")]
    [TestCase("web", "b1", """{"weight":"1"}""", 400, "weight \"1\" is not valid; expected a whole number from 0 to 1000\n")]
    [TestCase("web", "b1", """{"wait":1}""", 400,
        "'wait' cannot be changed; expected for example {\"adminState\":\"Draining\",\"weight\":5}, either alone too\n")]
    [TestCase("web", "b1", """{"adminState":"\ud800"}""", 400, "the body cannot be read; expected UTF-8, and no more than was asked for\n")]
    [TestCase("web", "b1", """{"\ud800":1}""", 400, "the body cannot be read; expected UTF-8, and no more than was asked for\n")]
    [TestCase("web", "b1", "{}", 400,
        "there is nothing to change; expected for example {\"adminState\":\"Draining\",\"weight\":5}, either alone too\n")]
    [TestCase("web", "b1", "[]", 400, "the body is not a JSON object; expected for example {\"adminState\":\"Draining\"}\n")]
    [TestCase("web", "b1", "", 400, "the body is not a JSON object; expected for example {\"adminState\":\"Draining\"}\n")]
    [TestCase("wb", "b1", """{"weight":1}""", 404, "there is no pool 'wb'; expected one of 'web'\n")]
    [TestCase("web", "b9", """{"weight":1}""", 404, "pool 'web' has no backend 'b9'; expected one of 'b1', 'b2'\n")]
    public async Task Patch_Nonsense_SaysWhatWasExpectedAndChangesNothing(string pool, string backend, string body, int status, string text)
    {
        (await SendAsync(HttpMethod.Patch, $"/api/pools/{pool}/backends/{backend}", body)).Should().Be(((HttpStatusCode)status, text));

        _node.Pool.Snapshot.Members.Should()
            .OnlyContain(member => member.Weight == 1 && member.AdminState == LoadBalancer.Pools.AdminState.Ready);
    }

    [Test]
    public async Task Patch_ValidAndInvalidTogether_ChangesNothing()
    {
        (await PatchAsync("b1", """{"adminState":"Disabled","weight":1001}""")).Status.Should().Be(HttpStatusCode.BadRequest);

        _node.Pool.Snapshot.Members[0].AdminState.Should().Be(LoadBalancer.Pools.AdminState.Ready);
    }

    [TestCase("Content-Length: 10000000\r\n\r\n")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\nfffff\r\n")]
    public async Task Patch_TenMegabytes_Is413(string framing)
    {
        using var peer = await RawPeer.ConnectAsync(_node.Management.BaseAddress!.Port);
        await peer.SendAsync($"PATCH /api/pools/web/backends/b1 HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}{new string(' ', 100_000)}");

        var answer = await peer.ReadResponseAsync();

        answer.Should().StartWith("HTTP/1.1 413").And.EndWith("the body is too large; expected a small JSON object\n");
    }

    [Test]
    public async Task Put_New_JoinsUntilTheNextReload()
    {
        await using var three = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree");

        (await SendAsync(HttpMethod.Put, "/api/pools/web/backends/b3", $$"""{"address":"{{three.Address}}","weight":2}""")).Status
            .Should().Be(HttpStatusCode.OK);

        (await AnswersAsync(8)).Count(answer => answer == "three").Should().Be(4);
    }

    [Test]
    public async Task Put_NameWithASlash_CanBeChangedToo()
    {
        await SendAsync(HttpMethod.Put, "/api/pools/web/backends/rack1%2Fb3", $$"""{"address":"{{_one.Address}}"}""");

        (await SendAsync(HttpMethod.Patch, "/api/pools/web/backends/rack1%2fb3", """{"weight":4}""")).Status.Should().Be(HttpStatusCode.OK);
        _node.Pool.Snapshot.Members[2].Should().BeEquivalentTo(new { Name = "rack1/b3", Weight = 4 });
    }

    [Test]
    public async Task Put_Existing_IsReplaced()
    {
        await using var three = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree");

        await SendAsync(HttpMethod.Put, "/api/pools/web/backends/b1", $$"""{"address":"{{three.Address}}"}""");

        (await AnswersAsync(4)).Should().BeEquivalentTo("three", "two", "three", "two");
        _node.Pool.Snapshot.Members.Select(member => member.Name).Should().Equal("b1", "b2");
    }

    [TestCase("""{"weight":1}""", "address is missing; expected for example {\"address\":\"http://127.0.0.1:3002\",\"weight\":1}\n")]
    [TestCase("""{"address":"htp://x"}""",
        "address \"htp://x\" is not valid; expected for example {\"address\":\"http://127.0.0.1:3002\",\"weight\":1}\n")]
    [TestCase("""{"address":"http://*:80"}""",
        "address \"http://*:80\" is not one of a backend of this pool; "
        + "expected for example {\"address\":\"http://127.0.0.1:3002\",\"weight\":1}\n")]
    public async Task Put_Nonsense_SaysWhatWasExpected(string body, string text) =>
        (await SendAsync(HttpMethod.Put, "/api/pools/web/backends/b3", body)).Should().Be((HttpStatusCode.BadRequest, text));

    [TestCase("PUT")]
    [TestCase("PATCH")]
    public async Task Delete_AnOperatorThinksBetterOfIt_Stays(string method)
    {
        var (arrived, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var slow = RawServer.AnsweringWhen(answer.Task, arrived, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        var put = $$"""{"address":"{{slow.Address}}","weight":100}""";
        await SendAsync(HttpMethod.Put, "/api/pools/web/backends/b3", put);
        var get = _node.Client.GetStringAsync("/");
        await arrived.Task;
        await SendAsync(HttpMethod.Delete, "/api/pools/web/backends/b3", null);

        var body = method == "PUT" ? put : """{"adminState":"Ready"}""";
        var (_, text) = await SendAsync(new HttpMethod(method), "/api/pools/web/backends/b3", body);

        text.Should().Contain("\"adminState\":\"Ready\"");
        answer.SetResult();
        (await get).Should().Be("slow");
        await SendAsync(HttpMethod.Delete, "/api/pools/web/backends/b3", null);
        await Eventually.BeTrueAsync(() => _node.Pool.Snapshot.Members.Length == 2, "it can be deleted again");
    }

    [Test]
    public async Task Put_AgainAndAgainWhileTheDashboardLooks_HarmsNobody()
    {
        for (var i = 0; i < 300; i++)
        {
            (await SendAsync(HttpMethod.Put, $"/api/pools/web/backends/n{i}", $$"""{"address":"{{_one.Address}}"}""")).Status
                .Should().Be(HttpStatusCode.OK);
        }

        _node.Pool.Snapshot.Members.Should().HaveCount(302);
        (await _node.Client.GetStringAsync("/")).Should().BeOneOf("one", "two");
    }

    [Test]
    public async Task Delete_WhileItWorks_DrainsFirst()
    {
        var (arrived, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var slow = RawServer.AnsweringWhen(answer.Task, arrived, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
        await SendAsync(HttpMethod.Put, "/api/pools/web/backends/b3", $$"""{"address":"{{slow.Address}}","weight":100}""");
        var get = _node.Client.GetStringAsync("/");
        await arrived.Task;

        var (status, text) = await SendAsync(HttpMethod.Delete, "/api/pools/web/backends/b3", null);

        status.Should().Be(HttpStatusCode.Accepted);
        text.Should().Contain("\"adminState\":\"Draining\"").And.Contain("\"inFlight\":1");
        (await AnswersAsync(4)).Should().NotContain("slow");
        answer.SetResult();
        (await get).Should().Be("slow");
        await Eventually.BeTrueAsync(() => _node.Pool.Snapshot.Members.Length == 2, "it is gone");
    }

    [Test]
    public async Task ErrorsStats_AfterErrors_CountsThemAndNamesTheirCause()
    {
        await _one.KillAsync();
        await _two.KillAsync();
        using (await _node.Client.GetAsync("/secret?token=1"))
        using (await _node.Client.SendAsync(new HttpRequestMessage(HttpMethod.Trace, "/")))
        {
            // Both are answered by the load balancer.
        }

        using var json = JsonDocument.Parse(await _node.Management.GetStringAsync("/errors/stats"));

        json.RootElement.GetProperty("total_errors").GetInt64().Should().Be(2);
        json.RootElement.GetProperty("error_types").GetProperty("502_BAD_GATEWAY").GetInt64().Should().Be(1);
        json.RootElement.GetProperty("error_types").GetProperty("405_METHOD_NOT_ALLOWED").GetInt64().Should().Be(1);
        var first = json.RootElement.GetProperty("recent_errors")[0];
        first.EnumerateObject().Select(property => property.Name).Should().Equal("type", "msg", "timestamp");
        first.GetProperty("type").GetString().Should().Be("502_BAD_GATEWAY");
        first.GetProperty("msg").GetString().Should().MatchRegex("^pool 'web', backend 'b[12]': GET /secret: connection refused$");
        first.GetProperty("timestamp").GetDateTimeOffset().Should().BeAfter(DateTimeOffset.UnixEpoch);
    }

    [Test]
    public async Task ErrorsStats_RequestThatKestrelRefuses_IsCounted()
    {
        using var peer = await RawPeer.ConnectAsync(_node.Client.BaseAddress!.Port);
        await peer.SendAsync("nonsense\r\n\r\n");
        (await peer.ReadToEndAsync()).Should().StartWith("HTTP/1.1 400");

        using var json = JsonDocument.Parse(await _node.Management.GetStringAsync("/errors/stats"));

        json.RootElement.GetProperty("error_types").GetProperty("400_BAD_REQUEST").GetInt64().Should().Be(1);
        json.RootElement.GetProperty("recent_errors")[0].GetProperty("msg").GetString().Should().Be(
            "listener 'web': the request is malformed, too large or too slow");
    }

    [TestCase("GET", "/nowhere", 404)]
    [TestCase("POST", "/status", 405)]
    [TestCase("POST", "/api/pools/web/backends/b1", 405)]
    [TestCase("HEAD", "/metrics", 200)]
    [TestCase("HEAD", "/", 200)]
    [TestCase("GET", "/api/pools/web/backends/b1", 200)]
    public async Task Request_AnyOther_IsAnsweredInKind(string method, string path, int status)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        using var answer = await _node.Management.SendAsync(request);

        ((int)answer.StatusCode).Should().Be(status);
        answer.Headers.GetValues("Content-Security-Policy").Should().NotBeEmpty();
    }

    [Test]
    public async Task Events_Always_BeginWithHelloAndASnapshotAndTellChangesAtOnce()
    {
        using var answer = await _node.Management.GetAsync("/api/events", HttpCompletionOption.ResponseHeadersRead);
        answer.Content.Headers.ContentType.Should().Be(new MediaTypeHeaderValue("text/event-stream"));
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync());

        var hello = await NextAsync(reader);
        hello.Name.Should().Be("hello");
        hello.Data.GetProperty("history").EnumerateArray().Select(entry => $"{entry.GetProperty("pool")}/{entry.GetProperty("backend")}")
            .Should().StartWith(["web/", "web/b1"], "a pool comes before its backends");
        (await NextAsync(reader)).Name.Should().Be("snapshot");
        await Eventually.BeTrueAsync(async () => (await NextAsync(reader)).Name == "snapshot", "another follows within a second");
        await PatchAsync("b1", """{"adminState":"Draining"}""");
        var (name, data) = await NextAsync(reader);
        for (; name != "change"; (name, data) = await NextAsync(reader))
        {
        }

        data.GetProperty("pool").GetString().Should().Be("web");
        data.GetProperty("backend").GetString().Should().Be("b1");
        data.GetProperty("text").GetString().Should().Be("was set to Draining");
        (name, data) = await NextAsync(reader);
        name.Should().Be("snapshot");
        data.GetProperty("pools")[0].GetProperty("backends")[0].GetProperty("adminState").GetString().Should().Be("Draining");
    }

    [Test]
    public async Task Events_ManyChangesAtOnce_AreAllTold()
    {
        using var answer = await _node.Management.GetAsync("/api/events", HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync());
        await NextAsync(reader);

        _node.Pool.SetMembers([.. _node.Pool.Snapshot.Members, .. Enumerable.Range(0, 50).Select(i => TestBackends.Unprobed($"n{i}"))]);

        for (var told = 0; told < 50;)
        {
            told += (await NextAsync(reader)).Name == "change" ? 1 : 0;
        }
    }

    [Test]
    public async Task Events_SlowReaders_AreDroppedAndHarmNobody()
    {
        var slow = new List<RawPeer>();
        for (var i = 0; i < 100; i++)
        {
            var peer = await RawPeer.ConnectAsync(_node.Management.BaseAddress!.Port);
            slow.Add(peer);
            await peer.SendAsync("GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        }
        using var answer = await _node.Management.GetAsync("/api/events", HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync());
        await NextAsync(reader);

        // Each change makes a snapshot for everybody; a hundred do not read theirs.
        for (var i = 0; i < 5; i++)
        {
            await PatchAsync("b1", $$"""{"weight":{{i + 2}}}""");
            var weight = 0;
            while (weight != i + 2)
            {
                var (name, data) = await NextAsync(reader);
                weight = name == "snapshot" ? data.GetProperty("pools")[0].GetProperty("backends")[0].GetProperty("weight").GetInt32() : 0;
            }
        }

        (await _node.Client.GetStringAsync("/")).Should().BeOneOf("one", "two");
        slow.ForEach(peer => peer.Dispose());
    }

    private static async Task<(string Name, JsonElement Data)> NextAsync(StreamReader reader)
    {
        var name = "";
        while (await reader.ReadLineAsync() is { } line)
        {
            if (line.StartsWith("event: "))
            {
                name = line[7..];
            }
            else if (line.StartsWith("data: "))
            {
                using var json = JsonDocument.Parse(line[6..]);
                await reader.ReadLineAsync();
                return (name, json.RootElement.Clone());
            }
        }
        throw new EndOfStreamException();
    }

    private async Task<List<string>> AnswersAsync(int count)
    {
        var answers = new List<string>();
        for (var i = 0; i < count; i++)
        {
            answers.Add(await _node.Client.GetStringAsync("/"));
        }
        return answers;
    }

    private Task<(HttpStatusCode Status, string Text)> PatchAsync(string backend, string json) =>
        SendAsync(HttpMethod.Patch, $"/api/pools/web/backends/{backend}", json);

    private async Task<(HttpStatusCode Status, string Text)> SendAsync(HttpMethod method, string path, string? json)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Content = json is null ? null : new StringContent(json, Encoding.UTF8, "application/json");
        using var answer = await _node.Management.SendAsync(request);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }
}
