using System.Net;
using System.Text.Json.Nodes;
using LoadBalancer.Cluster;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>A configuration that is pushed at one node of a cluster and used by all, over real sockets and a real etcd.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class SharedConfigurationTests : IDisposable
{
    private const string Path = "/api/cluster/configuration";
    private const string Backend = "/api/pools/web/backends/b1";

    private readonly TemporaryDirectory _directory = new();
    private readonly List<ConfiguredNode> _nodes = [];
    private string _etcdAddress = "http://127.0.0.1:1"; // where nothing is
    private EtcdServer? _etcd;
    private RawServer _one = null!;
    private RawServer _two = null!;

    [SetUp]
    public void Start()
    {
        _one = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        _two = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    }

    [TearDown]
    public async Task StopAsync()
    {
        foreach (var node in _nodes)
        {
            await node.DisposeAsync();
        }
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _one.DisposeAsync();
        await _two.DisposeAsync();
    }

    public void Dispose() => _directory.Dispose();

    [Test]
    public async Task Push_AtOneNode_IsUsedByAllThatShareIt()
    {
        await StartEtcdAsync();
        var (a, b, c) = (await StartAsync("a"), await StartAsync("b"), await StartAsync("c", isSharing: false));
        (await SendAsync(a, HttpMethod.Get, Path)).Should().Be(
            (HttpStatusCode.NotFound, "no configuration was pushed yet: each node uses its own file\n"));
        await EventuallyAsync(async () => await ConfigurationsAsync(a) == "a: null, b: null, c: null");

        var text = Pushed(_two, ", \"Management\": { \"Address\": \"http://127.0.0.9:1\" }");
        (await SendAsync(a, HttpMethod.Put, Path, text)).Should().Be(
            (HttpStatusCode.OK,
            """{"revision":1,"applied":true,"errors":[],"warnings":["LoadBalancer:Management: is each node's own, and is not used"]}"""));

        (await a.Client.GetStringAsync("/")).Should().Be("two");
        await EventuallyAsync(async () => await b.Client.GetStringAsync("/") == "two");
        (await c.Client.GetStringAsync("/")).Should().Be("one");
        const string InUse = """{"revision":1,"error":null}""";
        await EventuallyAsync(async () => await ConfigurationsAsync(c) == $"a: {InUse}, b: {InUse}, c: null");
        JsonNode.Parse((await SendAsync(b, HttpMethod.Get, Path)).Text)!["text"]!.ToString().Should().Be(text);
        (await SendAsync(c, HttpMethod.Put, Path, text)).Should().Be(
            (HttpStatusCode.Conflict,
            "this node does not share its configuration; expected LoadBalancer:Cluster:ShareConfiguration to be true\n"));
        await b.Log.SaysAsync("Information: cluster: configuration 1, pushed at node 'a' by '-', is in use");

        // A change of the node's own file.
        await b.ReloadedAsync(() => b.WriteRawAsync(Own("b").Replace("\"b1\"", "\"b7\"", StringComparison.Ordinal)));
        await b.Log.SaysAsync("Warning: configuration: a change of Pools in '", "because configuration 1 of the cluster has them");
        (await b.Client.GetStringAsync("/")).Should().Be("two");

        (await SendAsync(b, HttpMethod.Put, Path, Pushed(_one))).Status.Should().Be(HttpStatusCode.OK);
        await EventuallyAsync(async () =>
            JsonNode.Parse((await SendAsync(a, HttpMethod.Get, $"{Path}/history")).Text)!["revision"]!.GetValue<long>() == 2);
        (await SendAsync(a, HttpMethod.Post, $"{Path}/history/1/rollback")).Text.Should().StartWith("""{"revision":3,"applied":true""");
        (await SendAsync(a, HttpMethod.Post, $"{Path}/history/9/rollback")).Should().Be(
            (HttpStatusCode.NotFound, "there is no configuration 9; expected one of 3, 2, 1\n"));
        await EventuallyAsync(async () => await b.Client.GetStringAsync("/") == "two");
        var history = JsonNode.Parse((await SendAsync(a, HttpMethod.Get, $"{Path}/history")).Text)!;
        history["revision"]!.GetValue<long>().Should().Be(3);
        history["history"]!.AsArray().Select(entry => $"{entry!["revision"]} {entry["node"]} {entry["user"]} {entry["rollbackOf"]}")
            .Should().Equal("3 a - 1", "2 b - ", "1 a - ");
    }

    [Test]
    public async Task Push_Invalid_ChangesNothing()
    {
        await StartEtcdAsync();
        var a = await StartAsync("a");

        var invalid = await SendAsync(a, HttpMethod.Put, Path, Pushed(_two).Replace("Backends", "Backend", StringComparison.Ordinal));
        var large = await SendAsync(a, HttpMethod.Put, Path, Pushed(_two, new string(' ', 1024 * 1024)));
        var noText = await SendAsync(a, HttpMethod.Put, Path, new string([(char)0xd800]), isUtf8: false);

        invalid.Status.Should().Be(HttpStatusCode.UnprocessableEntity);
        invalid.Text.Should().StartWith("""{"revision":null,"applied":false,"errors":["LoadBalancer:Pools:web:Backend: unknown key""");
        large.Should().Be((HttpStatusCode.RequestEntityTooLarge, "the configuration is larger than 1 MiB\n"));
        noText.Should().Be((HttpStatusCode.BadRequest, "the configuration is not valid UTF-8\n"));
        (await a.Client.GetStringAsync("/")).Should().Be("one");
        (await SendAsync(a, HttpMethod.Get, Path)).Status.Should().Be(HttpStatusCode.NotFound);
        var audit = JsonNode.Parse(await a.Management.GetStringAsync("/api/audit"))!["entries"]!.AsArray();
        audit.Select(entry => $"{entry!["action"]} {entry["result"]}").Should().Equal("push refused");
    }

    [Test]
    public async Task Push_OneMebibyte_IsUsed()
    {
        await StartEtcdAsync();
        var a = await StartAsync("a");
        var text = Pushed(_two);
        var random = new Random(1);
        var comment = new string([.. Enumerable.Range(0, 1024 * 1024 - text.Length - 4).Select(_ => (char)('0' + random.Next(64)))]);

        var (status, answer) = await SendAsync(a, HttpMethod.Put, Path, $"/*{comment}*/{text}");

        (status, answer).Should().Be((HttpStatusCode.OK, """{"revision":1,"applied":true,"errors":[],"warnings":[]}"""));
        (await a.Client.GetStringAsync("/")).Should().Be("two");
    }

    [Test]
    public async Task Push_OneNodeCannotUseIt_KeepsWhatItHasAndSaysWhy()
    {
        await StartEtcdAsync();
        var (a, b) = (await StartAsync("a"), await StartAsync("b"));
        File.WriteAllText(_directory.File("a/sorry.html"), "sorry");

        (await SendAsync(a, HttpMethod.Put, Path, Pushed(_two, listener: ", \"ErrorPages\": { \"503\": \"sorry.html\" }"))).Status
            .Should().Be(HttpStatusCode.OK);

        await EventuallyAsync(async () =>
            (await ConfigurationsAsync(a)).Contains("b: {\"revision\":null,\"error\":\"", StringComparison.Ordinal));
        (await ConfigurationsAsync(a)).Should().StartWith("a: {\"revision\":1,\"error\":null}, ").And.Contain(
            "\"configuration 1 cannot be used: LoadBalancer:Listeners:web:ErrorPages:503: ");
        await b.Log.SaysAsync("Error: cluster: configuration 1 cannot be used: ", "; this node keeps '");
        (await b.Client.GetStringAsync("/")).Should().Be("one");

        File.WriteAllText(_directory.File("b/sorry.html"), "sorry");
        (await SendAsync(b, HttpMethod.Post, "/api/reload")).Status.Should().Be(HttpStatusCode.OK);
        (await b.Client.GetStringAsync("/")).Should().Be("two");
        await EventuallyAsync(async () =>
            (await ConfigurationsAsync(a)).EndsWith("b: {\"revision\":1,\"error\":null}", StringComparison.Ordinal));
    }

    [Test]
    public async Task Patch_AfterAPush_HoldsAtANewNodeUntilAPushSaysSomethingElse()
    {
        await StartEtcdAsync();
        var a = await StartAsync("a");
        await SendAsync(a, HttpMethod.Put, Path, Pushed(_two, backend: ", \"Weight\": 3"));
        (await SendAsync(a, HttpMethod.Patch, Backend, """{"weight":7}""")).Status.Should().Be(HttpStatusCode.OK);

        var b = await StartAsync("b"); // Its own file says 1.

        await EventuallyAsync(async () => await b.Client.GetStringAsync("/") == "two" && WeightAt(b) == 7);
        await SendAsync(b, HttpMethod.Put, Path, Pushed(_two, backend: ", \"Weight\": 3, \"Backup\": false"));
        await EventuallyAsync(async () => (await ConfigurationsAsync(a)).StartsWith("a: {\"revision\":2,", StringComparison.Ordinal));
        (WeightAt(a), WeightAt(b)).Should().Be((7, 7));
        await SendAsync(b, HttpMethod.Put, Path, Pushed(_two, backend: ", \"Weight\": 4"));
        await EventuallyAsync(() => Task.FromResult((WeightAt(a), WeightAt(b)) == (4, 4)));
    }

    [Test]
    public async Task Start_AnotherOneWasPushed_UsesItBeforeTheFirstRequest()
    {
        await StartEtcdAsync();
        var (a, old) = (await StartAsync("a"), ReservedPorts.Next());
        const string Wanted = """, "HttpVersion": "1.1+2" }, "more": { "Address": "http://127.0.0.1:0", "Pool": "web" """;
        await SendAsync(a, HttpMethod.Put, Path, Pushed(_two, listener: Wanted));
        await SendAsync(a, HttpMethod.Patch, Backend, """{"adminState":"Draining"}""");

        var b = await StartAsync("b", Own("b", listeners: $$""", "old": { "Address": "http://127.0.0.1:{{old}}", "Pool": "web" }"""));

        b.Pool.Snapshot.Members[0].AdminState.Should().Be(AdminState.Draining);
        var log = b.Log.Lines.ToList();
        log.FindIndex(line => line.EndsWith("configuration 1, pushed at node 'a' by '-', is in use", StringComparison.Ordinal))
            .Should().BePositive().And.BeLessThan(log.FindIndex(line => line.Contains("listens on", StringComparison.Ordinal)));
        log.Count(line => line.Contains("listens on", StringComparison.Ordinal)).Should().Be(2);
        await SendAsync(b, HttpMethod.Patch, Backend, """{"adminState":"Ready"}""");
        (await b.Client.GetStringAsync("/")).Should().Be("two");
        (await b.Client.GetStringAsync($"{b.Listeners[1].Address}/")).Should().Be("two");
        await FluentActions.Awaiting(() => b.Client.GetStringAsync($"http://127.0.0.1:{old}/")).Should().ThrowAsync<HttpRequestException>();
        (await SendAsync(b, HttpMethod.Put, Path, Pushed(_one))).Status.Should().Be(HttpStatusCode.OK);
        (await b.Client.GetStringAsync("/")).Should().Be("one");
    }

    [Test]
    public async Task Start_AnotherOneWasPushedThatCannotBeUsed_ServesAsItsFileSays()
    {
        await StartEtcdAsync();
        var (a, free) = (await StartAsync("a"), ReservedPorts.Next());
        await SendAsync(a, HttpMethod.Put, Path, Pushed(_two, listener: $$"""
             }, "free": { "Address": "http://127.0.0.1:{{free}}", "Pool": "web" },
                "taken": { "Address": "{{_one.Address}}", "Pool": "web"
            """));

        var b = await StartAsync("b");

        (await b.Client.GetStringAsync("/")).Should().Be("one");
        await b.Log.SaysAsync("Error: cluster: configuration 1 cannot be used: listener 'taken': cannot listen on ", "; this node keeps '");
        b.Listeners.Should().ContainSingle();
        await FluentActions.Awaiting(() => b.Client.GetStringAsync($"http://127.0.0.1:{free}/"))
            .Should().ThrowAsync<HttpRequestException>();
        (await SendAsync(a, HttpMethod.Put, Path, Pushed(_two))).Status.Should().Be(HttpStatusCode.OK);
        await EventuallyAsync(async () => await b.Client.GetStringAsync("/") == "two");
    }

    [Test]
    public async Task Start_EtcdIsAway_UsesItsCopyAndSaysSo()
    {
        var pushed = new PushedConfiguration(new PushedMark(4, DateTimeOffset.UnixEpoch, "b", "ci", null), Pushed(_two));
        Write("a", new PushedCopy(pushed, null));

        var a = await StartAsync("a");

        (await a.Client.GetStringAsync("/")).Should().Be("two");
        await a.Log.SaysAsync("Warning: cluster: etcd does not answer; this node starts with what its copy on disk says");
        await a.Log.SaysAsync("Information: cluster: this node starts with configuration 4, pushed at node 'b' by 'ci': Pools, ");
        JsonNode.Parse((await SendAsync(a, HttpMethod.Get, Path)).Text)!["revision"]!.GetValue<long>().Should().Be(4);
        var refused = await SendAsync(a, HttpMethod.Put, Path, Pushed(_one));
        refused.Status.Should().Be(HttpStatusCode.ServiceUnavailable);
        refused.Text.Should().StartWith("this node is not connected to etcd (").And.EndWith("; nothing was pushed\n");
    }

    [Test]
    public async Task Start_LastOneInTheCopyCannotBeUsed_UsesTheOneBefore()
    {
        var bad = new PushedConfiguration(new PushedMark(5, DateTimeOffset.UnixEpoch.AddDays(1), "b", "ci", null), "{}");
        var good = new PushedConfiguration(new PushedMark(4, DateTimeOffset.UnixEpoch, "b", "ci", null), Pushed(_two));
        Write("a", new PushedCopy(bad, good));

        var a = await StartAsync("a");

        (await a.Client.GetStringAsync("/")).Should().Be("two");
        await a.Log.SaysAsync(
            "Error: cluster: configuration 5 cannot be used: LoadBalancer:Listeners: ", "this node starts with configuration 4, pushed at");
        await a.DisposeAsync();
        _nodes.Clear();
        new StateFile(_directory.File("a/state"), "edge", "a").Read()!.Configuration.Should().Be(
            new PushedCopy(bad, good) { IsRefused = true });
    }

    [Test]
    public async Task Start_LastOneCouldNotBeUsedBefore_StartsWithoutIt()
    {
        var more = $", \"more\": {{ \"Address\": \"{_one.Address}\", \"Pool\": \"web\" }}"; // That port is taken.
        var text = Pushed(_two).Replace("\"Pool\": \"web\" }", "\"Pool\": \"web\" }" + more, StringComparison.Ordinal);
        var pushed = new PushedConfiguration(new PushedMark(4, DateTimeOffset.UnixEpoch, "b", "ci", null), text);
        Write("a", new PushedCopy(pushed, null) { IsRefused = true });

        var a = await StartAsync("a");

        (await a.Client.GetStringAsync("/")).Should().Be("one");
        // It was tried again.
        await a.Log.SaysAsync("Error: cluster: configuration 4 cannot be used: listener 'more'", "; this node keeps '");
        (await a.Client.GetStringAsync("/")).Should().Be("one");
    }

    [Test]
    public async Task Show_WithARoleThatMayOnlyRead_IsRefused()
    {
        File.WriteAllText(_directory.File("screen"), "a-token-of-a-screen");
        var a = await StartAsync(
            "a", management: $", \"Tokens\": {{ \"screen\": {{ \"TokenFile\": \"{_directory.File("screen")}\" }} }}");
        a.Management.DefaultRequestHeaders.Authorization = new("Bearer", "a-token-of-a-screen");

        var shown = await SendAsync(a, HttpMethod.Get, Path);

        shown.Should().Be((HttpStatusCode.Forbidden,
            "the token 'screen' has the role Viewer, and the text may have secrets; expected a token with the role Operator\n"));
        (await SendAsync(a, HttpMethod.Put, Path, "{}")).Status.Should().Be(HttpStatusCode.Forbidden);
        (await SendAsync(a, HttpMethod.Get, $"{Path}/history")).Should().Be((HttpStatusCode.OK, """{"revision":null,"history":[]}"""));
    }

    private static int WeightAt(ConfiguredNode node) => node.Pool.Snapshot.Members[0].Weight;

    private static Task EventuallyAsync(Func<Task<bool>> condition) => Eventually.BeTrueAsync(condition, "that is so");

    private static async Task<(HttpStatusCode Status, string Text)> SendAsync(
        ConfiguredNode node, HttpMethod method, string path, string? body = null, bool isUtf8 = true)
    {
        using var request = new HttpRequestMessage(method, path);
        request.Headers.ExpectContinue = body?.Length > 100_000; // It may be refused before it is read.
        request.Content = body is null ? null : isUtf8 ? new StringContent(body) : new ByteArrayContent([(byte)'{', 0xff]);
        using var answer = await node.Management.SendAsync(request);
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private static async Task<string> ConfigurationsAsync(ConfiguredNode node) => string.Join(
        ", ", JsonNode.Parse(await node.Management.GetStringAsync("/api/cluster"))!["nodes"]!.AsArray()
            .Select(other => $"{other!["name"]}: {other["configuration"]?.ToJsonString() ?? "null"}"));

    private void Write(string node, PushedCopy copy) =>
        new StateFile(_directory.File($"{node}/state"), "edge", node).Write(StateCopy.Empty with { Configuration = copy });

    private async Task StartEtcdAsync()
    {
        _etcd = await EtcdServer.StartAsync();
        _etcdAddress = _etcd.Address;
    }

    private Task<ConfiguredNode> StartAsync(string node, bool isSharing = true, string management = "") =>
        StartAsync(node, Own(node, isSharing, management));

    private async Task<ConfiguredNode> StartAsync(string node, string own)
    {
        Directory.CreateDirectory(_directory.File(node));
        var started = await ConfiguredNode.StartRawAsync(
            own, file: System.IO.Path.Combine(_directory.File(node), "lb.json"));
        _nodes.Add(started);
        return started;
    }

    private string Own(string node, bool isSharing = true, string management = "", string listeners = "") => $$"""
        { "LoadBalancer": {
            "Cluster": { "Name": "edge", "Node": "{{node}}", "Etcd": [ "{{_etcdAddress}}" ], "LeaseTime": "5s", "StateDirectory": "state",
                         "ShareConfiguration": {{(isSharing ? "true" : "false")}} },
            "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" }{{listeners}} },
            "Pools": { "web": { "Backends": { "b1": { "Address": "{{_one.Address}}" } } } },
            "Management": { "Address": "http://127.0.0.1:0"{{management}} } } }
        """;

    private static string Pushed(RawServer server, string more = "", string listener = "", string backend = "") => $$"""
        { "LoadBalancer": {
            "Listeners": { "web": { "Pool": "web"{{listener}} } },
            "Pools": { "web": { "Backends": { "b1": { "Address": "{{server.Address}}"{{backend}} } } } }{{more}} } }
        """;
}
