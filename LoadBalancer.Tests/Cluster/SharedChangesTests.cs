using System.Net;
using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Cluster;

/// <summary>What an operator does at one node of a cluster holds at all, over real sockets and a real etcd.</summary>
[Parallelizable(ParallelScope.Self)]
internal sealed class SharedChangesTests
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Dictionary<string, ConfiguredNode> _nodes = [];
    private EtcdServer _etcd = null!;
    private RawServer _one = null!;
    private RawServer _two = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdServer.StartAsync();
        _one = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        _two = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        _directory.Dispose();
        if (_etcd is not null) // It is null where there is no etcd on this machine.
        {
            await _etcd.DisposeAsync();
            await _one.DisposeAsync();
            await _two.DisposeAsync();
        }
    }

    [TearDown]
    public async Task StopNodesAsync()
    {
        foreach (var node in _nodes.Values)
        {
            await node.DisposeAsync();
        }
        _nodes.Clear();
    }

    [Test]
    public async Task Patch_AtOneNode_HoldsAtAllAlsoAfterARestart()
    {
        var (a, b) = (await StartAsync("patch", "a"), await StartAsync("patch", "b"));

        (await SendAsync(a, HttpMethod.Patch, "b1", """{"adminState":"Draining","weight":5}""")).Should().Be(
            (HttpStatusCode.OK, "b1 5 Draining"));

        await ShowsAsync(b, "b1 5 Draining, b2 1 Ready");
        (await b.Client.GetStringAsync("/")).Should().Be("two");
        await RestartAsync("patch", "b");
        Shown(_nodes["b"]).Should().Be("b1 5 Draining, b2 1 Ready");
        (await SendAsync(_nodes["b"], HttpMethod.Patch, "b1", """{"adminState":null,"weight":null}""")).Text.Should().Be("b1 1 Ready");
        await ShowsAsync(a, "b1 1 Ready, b2 1 Ready");
    }

    [Test]
    public async Task PutAndDelete_AtDifferentNodes_HoldAtAllAlsoAfterTheRestartOfAll()
    {
        var (a, b) = (await StartAsync("put", "a"), await StartAsync("put", "b"));

        (await SendAsync(a, HttpMethod.Put, "rack1%2Fb3", $$"""{"address":"{{_one.Address}}","weight":4}"""))
            .Should().Be((HttpStatusCode.OK, "rack1/b3 4 Ready"));
        await ShowsAsync(b, "b1 1 Ready, b2 1 Ready, rack1/b3 4 Ready");
        await RestartAsync("put", "a");
        await RestartAsync("put", "b");
        await ShowsAsync(_nodes["a"], "b1 1 Ready, b2 1 Ready, rack1/b3 4 Ready");

        (await SendAsync(_nodes["b"], HttpMethod.Delete, "rack1%2Fb3")).Status.Should().Be(HttpStatusCode.Accepted);

        await ShowsAsync(_nodes["a"], "b1 1 Ready, b2 1 Ready");
        await ShowsAsync(_nodes["b"], "b1 1 Ready, b2 1 Ready");
    }

    [Test]
    public async Task Put_WhileOneOfThatNameIsLeavingElsewhere_TakesItsPlaceAtAll()
    {
        var answers = new TaskCompletionSource();
        await using var slow = await KestrelBackend.StartAsync(
            async context =>
            {
                await answers.Task;
                await context.Response.WriteAsync("slow");
            },
            HttpProtocols.Http1);
        var (a, b) = (await StartAsync("elsewhere", "a"), await StartAsync("elsewhere", "b"));
        await SendAsync(a, HttpMethod.Patch, "b1", """{"adminState":"Disabled"}""");
        await SendAsync(a, HttpMethod.Patch, "b2", """{"adminState":"Disabled"}""");
        await SendAsync(a, HttpMethod.Put, "x", $$"""{"address":"{{slow.Address}}"}""");
        await ShowsAsync(b, "b1 1 Disabled, b2 1 Disabled, x 1 Ready");
        var answer = b.Client.GetStringAsync("/");
        await Eventually.BeTrueAsync(() => b.Pool.Snapshot.Members[2].InFlight == 1, "a request is in flight");
        await SendAsync(a, HttpMethod.Delete, "x");
        await ShowsAsync(b, "b1 1 Disabled, b2 1 Disabled, x 1 Draining");

        await SendAsync(a, HttpMethod.Put, "x", $$"""{"address":"{{_one.Address}}","weight":2}""");

        await ShowsAsync(b, "b1 1 Disabled, b2 1 Disabled, x 2 Ready");
        (await b.Client.GetStringAsync("/")).Should().Be("one");
        answers.SetResult();
        (await answer).Should().Be("slow");
        await SendAsync(a, HttpMethod.Patch, "x", """{"weight":3}""");
        await ShowsAsync(b, "b1 1 Disabled, b2 1 Disabled, x 3 Ready");
    }

    [Test]
    public async Task Delete_BackendOfTheFile_IsDisabledAtAll()
    {
        var (a, b) = (await StartAsync("delete", "a"), await StartAsync("delete", "b"));

        (await SendAsync(a, HttpMethod.Delete, "b1")).Should().Be((HttpStatusCode.Accepted, "b1 1 Disabled"));

        await ShowsAsync(b, "b1 1 Disabled, b2 1 Ready");
    }

    [Test]
    public async Task Reload_FileSaysSomethingElseAtOneNode_HoldsThere()
    {
        var (a, b) = (await StartAsync("reload", "a"), await StartAsync("reload", "b"));
        await SendAsync(a, HttpMethod.Patch, "b1", """{"adminState":"Disabled","weight":5}""");
        await ShowsAsync(b, "b1 5 Disabled, b2 1 Ready");

        await b.ApplyAsync(Text("reload", "b", weight: 3));

        Shown(b).Should().Be("b1 3 Disabled, b2 1 Ready");
        Shown(a).Should().Be("b1 5 Disabled, b2 1 Ready");
    }

    [Test]
    public async Task Patch_NothingToClearOrWrong_Is400()
    {
        var a = await StartAsync("wrong", "a");

        (await SendAsync(a, HttpMethod.Patch, "b1", """{"adminState":"Sleeping"}""")).Status.Should().Be(HttpStatusCode.BadRequest);
        (await SendAsync(a, HttpMethod.Put, "b4", """{"address":"tcp://127.0.0.1:1"}""")).Status.Should().Be(HttpStatusCode.BadRequest);
        (await SendAsync(a, HttpMethod.Patch, "b9", """{"weight":1}""")).Status.Should().Be(HttpStatusCode.NotFound);
    }

    [Test]
    public async Task StickySession_CookieOfOneNode_LeadsToTheSameBackendAtAnother()
    {
        var (a, b) = (await StartAsync("sticky", "a", "\"StickySession\": {},"), await StartAsync("sticky", "b", "\"StickySession\": {},"));
        using var first = await a.Client.GetAsync("/");
        var (cookie, body) = (first.Headers.GetValues("Set-Cookie").Single().Split(';')[0], await first.Content.ReadAsStringAsync());

        await Eventually.BeTrueAsync(
            async () =>
            {
                for (var i = 0; i < 4; i++)
                {
                    using var request = new HttpRequestMessage(HttpMethod.Get, "/") { Headers = { { "Cookie", cookie } } };
                    using var answer = await b.Client.SendAsync(request);
                    if (await answer.Content.ReadAsStringAsync() != body || answer.Headers.Contains("Set-Cookie"))
                    {
                        return false;
                    }
                }
                return true;
            },
            "the other node knows the cookie");
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task EtcdIsAway_ChangesAreRefusedAndTrafficGoesOnAlsoAtANodeThatStarts()
    {
        await using var etcd = await EtcdServer.StartAsync();
        var (a, b) = (await StartAsync("away", "a", etcd: etcd), await StartAsync("away", "b", etcd: etcd));
        await SendAsync(a, HttpMethod.Patch, "b1", """{"adminState":"Draining"}""");
        await ShowsAsync(b, "b1 1 Draining, b2 1 Ready");
        await etcd.KillAsync();

        var (status, text) = await SendAsync(a, HttpMethod.Patch, "b2", """{"adminState":"Draining"}""");
        status.Should().Be(HttpStatusCode.ServiceUnavailable);
        text.Should().Contain("etcd");
        (await a.Client.GetStringAsync("/")).Should().Be("two");
        await RestartAsync("away", "b", etcd);
        b = _nodes["b"];
        Shown(b).Should().Be("b1 1 Draining, b2 1 Ready");
        await b.Log.SaysAsync("Warning", "starts with what its copy");
        (await b.Client.GetStringAsync("/")).Should().Be("two");

        await etcd.RestartAsync();
        await Eventually.BeTrueAsync(
            async () => (await SendAsync(b, HttpMethod.Patch, "b1", """{"adminState":"Ready"}""")).Status == HttpStatusCode.OK,
            "the node is connected again");
        await ShowsAsync(a, "b1 1 Ready, b2 1 Ready");
    }

    private static async Task ShowsAsync(ConfiguredNode node, string members) =>
        await Eventually.BeTrueAsync(() => Shown(node) == members, $"the pool has {members}");

    private static string Shown(ConfiguredNode node) => string.Join(
        ", ", node.Pool.Snapshot.Members.Select(member => $"{member.Name} {member.Weight} {member.AdminState}"));

    private static async Task<(HttpStatusCode Status, string Text)> SendAsync(
        ConfiguredNode node, HttpMethod method, string backend, string? body = null)
    {
        using var request = new HttpRequestMessage(method, $"/api/pools/web/backends/{backend}");
        request.Content = body is null ? null : new StringContent(body);
        using var answer = await node.Management.SendAsync(request);
        var text = await answer.Content.ReadAsStringAsync();
        return (answer.StatusCode, answer.IsSuccessStatusCode && JsonNode.Parse(text) is { } json
            ? $"{json["name"]} {json["weight"]} {json["adminState"]}" : text);
    }

    private async Task<ConfiguredNode> StartAsync(string cluster, string node, string pool = "", EtcdServer? etcd = null) =>
        _nodes[node] = await ConfiguredNode.StartRawAsync(Text(cluster, node, pool: pool, etcd: etcd));

    private async Task RestartAsync(string cluster, string node, EtcdServer? etcd = null)
    {
        await _nodes[node].DisposeAsync();
        await StartAsync(cluster, node, etcd: etcd);
    }

    private string Text(string cluster, string node, int weight = 1, string pool = "", EtcdServer? etcd = null) => $$"""
        { "LoadBalancer": {
            "Cluster": { "Name": "{{cluster}}", "Node": "{{node}}", "Etcd": [ "{{(etcd ?? _etcd).Address}}" ], "LeaseTime": "2s",
                         "StateDirectory": "{{_directory.File("state")}}" },
            "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
            "Pools": { "web": { {{pool}} "Backends": {
                "b1": { "Address": "{{_one.Address}}", "Weight": {{weight}} }, "b2": { "Address": "{{_two.Address}}" } } } },
            "Management": { "Address": "http://127.0.0.1:0" } } }
        """;
}
