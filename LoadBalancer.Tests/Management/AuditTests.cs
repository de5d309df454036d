using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

/// <summary>Who has changed what, and the way back.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AuditTests : IAsyncDisposable
{
    private const string Backend = "/api/pools/web/backends/b1";

    private const string Pools = """
        { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:9" }, "b2": { "Address": "http://127.0.0.1:10" } } } }
        """;

    private readonly TemporaryDirectory _folder = new();
    private ConfiguredNode _node = null!;

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync();
        _folder.Dispose();
    }

    [Test]
    public async Task Patch_Done_SaysWhoChangedWhatAndWhen()
    {
        await StartWithUsersAsync();

        using var answer = await SendAsync("PATCH", Backend, """{"adminState":"Draining","weight":3}""", "ci-token");

        var entry = (await EntriesAsync()).Should().ContainSingle().Subject;
        answer.Headers.GetValues("Audit-Id").Should().Equal(entry["id"]!.ToString());
        entry["id"]!.GetValue<long>().Should().BeGreaterThan(
            DateTimeOffset.UnixEpoch.AddYears(50).ToUnixTimeMilliseconds(), "no process before this one had that number");
        DateTimeOffset.Parse(entry["time"]!.ToString()).Should().BeAfter(DateTimeOffset.UnixEpoch);
        entry.AsObject().Remove("id");
        entry.AsObject().Remove("time");
        entry.ToJsonString().Should().Be(
            """{"user":"ci","address":"127.0.0.1","action":"patch","pool":"web","backend":"b1","""
            + "\"from\":{\"address\":\"http://127.0.0.1:9\",\"weight\":1,\"adminState\":\"Ready\"},"
            + "\"to\":{\"address\":\"http://127.0.0.1:9\",\"weight\":3,\"adminState\":\"Draining\"},"
            + "\"result\":\"done\",\"error\":null,\"canUndo\":true}");
        await _node.Log.SaysAsync("pool 'web': backend 'b1' was changed by 'ci': Draining, weight 3");
        (await HelloAsync("ci-token")).Should().Contain("was set to Draining (by ci)").And.Contain("has weight 3 instead of 1 (by ci)")
            .And.Contain("""{"user":{"name":"ci","role":"Operator"},""");
    }

    [TestCase("PATCH", """{"weight":-1}""", 400)]
    [TestCase("PATCH", """{"wait":1}""", 400)]
    [TestCase("PUT", """{"weight":1}""", 400)]
    public async Task Change_Refused_IsThereToo(string method, string body, int status)
    {
        await StartAsync();

        using var answer = await SendAsync(method, Backend, body);

        ((int)answer.StatusCode).Should().Be(status);
        var entry = (await EntriesAsync()).Should().ContainSingle().Subject;
        (Text(entry, "user"), Text(entry, "result"), entry["canUndo"]!.GetValue<bool>()).Should().Be(("-", "refused", false));
        Text(entry, "error").Should().Be((await answer.Content.ReadAsStringAsync()).TrimEnd());
    }

    [Test]
    public async Task Reload_Refused_SaysWhy()
    {
        await StartAsync();
        await _node.WriteAsync(Pools.Replace("Address", "Adress", StringComparison.Ordinal));

        (await SendAsync("POST", "/api/reload")).StatusCode.Should().Be(HttpStatusCode.UnprocessableEntity);

        var entry = (await EntriesAsync()).Should().ContainSingle().Subject;
        (Text(entry, "action"), Text(entry, "result")).Should().Be(("reload", "refused"));
        Text(entry, "error").Should().StartWith("LoadBalancer:Pools:web:Backends:b1:Adress: unknown key");
    }

    [Test]
    public async Task Undo_OfAPatch_GivesBackWhatWas_AndCanBeUndoneItself()
    {
        await StartAsync();
        await SendAsync("PATCH", Backend, """{"adminState":"Disabled","weight":7}""");

        using var undone = await UndoAsync(1);

        undone.StatusCode.Should().Be(HttpStatusCode.OK);
        var ids = (await EntriesAsync()).Select(entry => entry["id"]!.GetValue<long>()).Order().ToList();
        ids.Should().Equal(ids[0], ids[0] + 1);
        JsonNode.Parse(await undone.Content.ReadAsStringAsync())!["entry"]!["id"]!.GetValue<long>().Should().Be(ids[1]);
        Member("b1").Should().BeEquivalentTo(new { Weight = 1, AdminState = AdminState.Ready });
        (await EntriesAsync()).Select(entry => $"{entry["action"]} {entry["canUndo"]}")
            .Should().Equal("undo true", "patch false");
        (await UndoAsync(1)).StatusCode.Should().Be(HttpStatusCode.Conflict);
        (await UndoAsync(2)).StatusCode.Should().Be(HttpStatusCode.OK);
        Member("b1").Should().BeEquivalentTo(new { Weight = 7, AdminState = AdminState.Disabled });
    }

    [Test]
    public async Task Undo_OfAPut_RemovesTheBackend()
    {
        await StartAsync();
        await SendAsync("PUT", "/api/pools/web/backends/b3", """{"address":"http://127.0.0.1:11"}""");

        (await UndoAsync(1)).StatusCode.Should().Be(HttpStatusCode.OK);

        await Eventually.BeTrueAsync(() => _node.Pool.Snapshot.Members.Length == 2, "it is gone");
    }

    [Test]
    public async Task Undo_OfAReplacement_GivesBackTheAddress()
    {
        await StartAsync();
        await SendAsync("PUT", Backend, """{"address":"http://127.0.0.1:11","weight":5}""");

        (await UndoAsync(1)).StatusCode.Should().Be(HttpStatusCode.OK);

        ($"{Member("b1").Address}", Member("b1").Weight).Should().Be(("http://127.0.0.1:9", 1));
    }

    [Test]
    public async Task Undo_OfADelete_AddsTheBackendAgain()
    {
        await StartAsync();
        await SendAsync("PATCH", Backend, """{"weight":4}""");
        await SendAsync("DELETE", Backend);
        await Eventually.BeTrueAsync(() => _node.Pool.Snapshot.Members.Length == 1, "it is gone");

        (await UndoAsync(2)).StatusCode.Should().Be(HttpStatusCode.OK);

        ($"{Member("b1").Address}", Member("b1").Weight, Member("b1").AdminState)
            .Should().Be(("http://127.0.0.1:9", 4, AdminState.Ready));
    }

    [Test]
    public async Task Undo_OfADeleteThatStillDrains_KeepsTheBackend()
    {
        await StartAsync();
        await SendAsync("PATCH", Backend, """{"adminState":"Draining"}""");
        var backend = Member("b1");
        _node.Pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
        var busy = lease!.Backend == backend ? backend : Member("b2");
        await SendAsync("DELETE", $"/api/pools/web/backends/{busy.Name}");

        (await UndoAsync(2)).StatusCode.Should().Be(HttpStatusCode.OK);

        lease.Complete(AttemptOutcome.Succeeded);
        busy.AdminState.Should().Be(AdminState.Ready);
        _node.Pool.Snapshot.Members.Should().Contain(busy);
    }

    [Test]
    public async Task Undo_SomethingElseHasChangedIt_Is409AndChangesNothing()
    {
        await StartAsync();
        await SendAsync("PATCH", Backend, """{"weight":7}""");
        _node.Pool.Change(() => Member("b1").Weight = 9); // a reload, for example

        using var answer = await UndoAsync(1);

        answer.StatusCode.Should().Be(HttpStatusCode.Conflict);
        (await answer.Content.ReadAsStringAsync()).Should().Contain("something else has changed it since; nothing was undone");
        Member("b1").Weight.Should().Be(9);
    }

    [TestCase("7", 404)]
    [TestCase("x", 404)]
    [TestCase("-1", 404)]
    [TestCase(null, 409)] // a reload
    public async Task Undo_OfWhatCannotBeUndone_SaysSo(string? id, int status)
    {
        await StartAsync();
        await SendAsync("POST", "/api/reload");

        using var answer = id is null ? await UndoAsync(1) : await SendAsync("POST", $"/api/audit/{id}/undo");

        ((int)answer.StatusCode).Should().Be(status);
    }

    [Test]
    public async Task AuditFile_NodeStartsAgain_GoesOnWithItsEntries()
    {
        var management = $$"""{ "Address": "http://127.0.0.1:0", "AuditFile": "{{_folder.File("audit.log")}}" }""";
        await StartAsync(management);
        await SendAsync("PATCH", Backend, """{"weight":7}""");
        (await File.ReadAllLinesAsync(_folder.File("audit.log"))).Should().ContainSingle()
            .Which.Should().StartWith("{\"id\":").And.EndWith("\"result\":\"done\",\"error\":null}");
        await _node.DisposeAsync();

        await StartAsync(management);
        await SendAsync("PATCH", Backend, """{"weight":8}""");

        var entries = await EntriesAsync();
        entries.Select(entry => entry["to"]!["weight"]!.GetValue<int>()).Should().Equal(8, 7);
        entries.Select(entry => entry["id"]!.GetValue<long>()).Should().BeInDescendingOrder().And.OnlyHaveUniqueItems();
    }

    [Test]
    public async Task AuditFile_WhereItCannotBe_IsAnError()
    {
        await StartAsync();
        await _node.WriteAsync(Pools, management: """{ "Address": "http://127.0.0.1:0", "AuditFile": "/nowhere/audit.log" }""");

        using var answer = await SendAsync("POST", "/api/reload");

        (await answer.Content.ReadAsStringAsync()).Should().Contain(
            "LoadBalancer:Management:AuditFile: '/nowhere/audit.log' cannot be written: there is no directory '/nowhere'");
    }

    [Test]
    public async Task Change_IfMatch_IsMadeOnlyWhereNothingHasChangedMeanwhile()
    {
        await StartAsync();
        using var read = await SendAsync("GET", Backend);
        var before = read.Headers.ETag!;

        using var first = await SendAsync("PATCH", Backend, """{"weight":2}""", ifMatch: before.Tag);
        using var second = await SendAsync("PATCH", Backend, """{"weight":3}""", ifMatch: before.Tag);
        using var delete = await SendAsync("DELETE", Backend, ifMatch: before.Tag);
        using var third = await SendAsync(
            "PUT", Backend, """{"address":"http://127.0.0.1:9","weight":4}""", ifMatch: first.Headers.ETag!.Tag);

        new[] { first, second, delete, third }.Select(answer => (int)answer.StatusCode).Should().Equal(200, 412, 412, 200);
        (await second.Content.ReadAsStringAsync()).Should().Be(
            $"it has changed meanwhile: its ETag is {first.Headers.ETag} now; look at it again, then decide\n");
        Member("b1").Weight.Should().Be(4);
    }

    [TestCase("*", null, 200)]
    [TestCase("\"0\", \"1\"", null, 412)]
    [TestCase("W/\"0\"", null, 412)]
    [TestCase("nonsense", null, 412)]
    [TestCase(null, "*", 412)]
    public async Task Change_Conditions_HoldAsRfc9110Says(string? ifMatch, string? ifNoneMatch, int status)
    {
        await StartAsync();

        const string Body = """{"address":"http://127.0.0.1:9"}""";
        using var answer = await SendAsync("PUT", Backend, Body, ifMatch: ifMatch, ifNoneMatch: ifNoneMatch);
        using var other = await SendAsync("PUT", "/api/pools/web/backends/b9", Body, ifNoneMatch: "*");
        using var gone = await SendAsync("PUT", "/api/pools/web/backends/b8", Body, ifMatch: "*");

        new[] { answer, other, gone }.Select(one => (int)one.StatusCode).Should().Equal(status, 200, 412);
    }

    [Test]
    public async Task Change_ManyAtOnceWithTheSameTag_OneIsMade()
    {
        await StartAsync();
        using var read = await SendAsync("GET", Backend);
        var tag = read.Headers.ETag!.Tag;

        var answers = await Task.WhenAll(Enumerable.Range(2, 10).Select(i =>
            SendAsync("PATCH", Backend, $$"""{"weight":{{i}}}""", ifMatch: tag)));

        answers.Count(answer => answer.StatusCode == HttpStatusCode.OK).Should().Be(1);
    }

    private static string Text(JsonNode entry, string name) => entry[name]!.ToString();

    private Backend Member(string name) => _node.Pool.Snapshot.Members.Single(member => member.Name == name);

    private async Task StartAsync(string management = """{ "Address": "http://127.0.0.1:0" }""") =>
        _node = await ConfiguredNode.StartAsync(Pools, management: management);

    private async Task StartWithUsersAsync()
    {
        await File.WriteAllTextAsync(_folder.File("ci"), "ci-token");
        await StartAsync($$"""
            { "Address": "http://127.0.0.1:0", "Tokens": { "ci": { "TokenFile": "{{_folder.File("ci")}}", "Role": "Operator" } } }
            """);
        _node.Management.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", "ci-token");
    }

    private async Task<List<JsonNode>> EntriesAsync() =>
        [.. JsonNode.Parse(await _node.Management.GetStringAsync("/api/audit"))!["entries"]!.AsArray().Select(entry => entry!)];

    // The first entry has the number 1 here.
    private async Task<HttpResponseMessage> UndoAsync(int number) =>
        await SendAsync("POST", $"/api/audit/{(await EntriesAsync())[^number]["id"]}/undo");

    private async Task<string> HelloAsync(string token)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/events");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        using var answer = await _node.Management.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await answer.Content.ReadAsStreamAsync());
        await reader.ReadLineAsync();
        return (await reader.ReadLineAsync())!;
    }

    private async Task<HttpResponseMessage> SendAsync(
        string method, string path, string? body = null, string? token = null, string? ifMatch = null, string? ifNoneMatch = null)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        request.Content = body is null ? null : new StringContent(body);
        request.Headers.Authorization = token is null ? null : new AuthenticationHeaderValue("Bearer", token);
        foreach (var (name, value) in new[] { ("If-Match", ifMatch), ("If-None-Match", ifNoneMatch) })
        {
            _ = value is null || request.Headers.TryAddWithoutValidation(name, value);
        }
        return await _node.Management.SendAsync(request);
    }
}
