using System.Net.Http.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>A real etcd that speaks TLS and asks for a user.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Explicit("takes long; .ci/run runs it")]
[Category("Long")]
internal sealed class EtcdUserTests : IAsyncDisposable
{
    private const string Root = "the password of root";

    private readonly TemporaryDirectory _directory = new();
    private readonly TestCertificates _certificates = new();
    private EtcdServer _etcd = null!;
    private ConfiguredNode _node = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdServer.StartAsync(_certificates.Issue("etcd", "127.0.0.1"));
        await _etcd.PostAsync("/v3/auth/user/add", new { name = "root", password = Root });
        await _etcd.PostAsync("/v3/auth/role/add", new { name = "root" });
        await _etcd.PostAsync("/v3/auth/user/grant", new { user = "root", role = "root" });
        await _etcd.PostAsync("/v3/auth/user/add", new { name = "lb", password = "first" });
        await _etcd.PostAsync("/v3/auth/role/add", new { name = "lb" });
        var (from, to) = (Convert.ToBase64String("/lb/edge/"u8), Convert.ToBase64String("/lb/edge0"u8));
        var perm = new { permType = "READWRITE", key = from, range_end = to };
        await _etcd.PostAsync("/v3/auth/role/grant", new { name = "lb", perm });
        await _etcd.PostAsync("/v3/auth/user/grant", new { user = "lb", role = "lb" });
        await _etcd.PostAsync("/v3/auth/enable", new { });
        await File.WriteAllTextAsync(PasswordFile, "first\n");
    }

    public async ValueTask DisposeAsync()
    {
        await (_node?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
        _certificates.Dispose();
        _directory.Dispose();
    }

    [Test]
    public async Task Password_ChangesWhileTheNodeRuns_GoesOnWhenTheFileHasTheNewOne()
    {
        _node = await StartNodeAsync(_certificates.AuthorityFile);
        await ConnectedAsync(true);
        (await SetAsync("Draining")).Should().Be((200, ""));

        var token = $"{(await _etcd.PostAsync("/v3/auth/authenticate", new { name = "root", password = Root }))["token"]}";
        await _etcd.PostAsync("/v3/auth/user/changepw", new { name = "lb", password = "second" }, token);
        await ConnectedAsync(false);
        var (status, error) = await SetAsync("Ready");
        await File.WriteAllTextAsync(PasswordFile, "second\n");
        await ConnectedAsync(true);

        status.Should().Be(503);
        error.Should().Contain("authentication failed").And.NotContain("first");
        _node.Pool.Snapshot.Members[0].AdminState.Should().Be(AdminState.Draining);
        (await SetAsync("Ready")).Should().Be((200, ""));
        _node.Log.Lines.Should().NotContain(line => line.Contains("unexpected", StringComparison.Ordinal));
    }

    [Test]
    public async Task Etcd_IsRestarted_NodeGetsAnotherToken()
    {
        _node = await StartNodeAsync(_certificates.AuthorityFile);
        await ConnectedAsync(true);

        await _etcd.RestartAsync(); // It knows its tokens no more.

        await Eventually.BeTrueAsync(async () => (await SetAsync("Draining")).Status == 200, "the change is taken");
        await ConnectedAsync(true);
    }

    [Test]
    public async Task Start_AuthorityIsAnotherOne_ServesAloneAndSaysWhy()
    {
        using var others = new TestCertificates();
        _node = await StartNodeAsync(others.AuthorityFile);

        (await AskAsync())["connected"]!.GetValue<bool>().Should().BeFalse();
        await _node.Log.SaysAsync("not connected to etcd", "cannot be reached", "certificate");
        (await SetAsync("Ready")).Status.Should().Be(503);
    }

    private string PasswordFile => _directory.File("password");

    private Task ConnectedAsync(bool isConnected) => Eventually.BeTrueAsync(
        async () => (await AskAsync())["connected"]!.GetValue<bool>() == isConnected, "the node knows whether it is connected");

    private async Task<JsonNode> AskAsync() => JsonNode.Parse(await _node.Management.GetStringAsync("/api/cluster"))!;

    private async Task<(int Status, string Error)> SetAsync(string state)
    {
        using var answer = await _node.Management.PatchAsJsonAsync("/api/pools/web/backends/b", new { adminState = state });
        return ((int)answer.StatusCode, answer.IsSuccessStatusCode ? "" : await answer.Content.ReadAsStringAsync());
    }

    private Task<ConfiguredNode> StartNodeAsync(string authority) => ConfiguredNode.StartRawAsync($$"""
        { "LoadBalancer": {
            "Cluster": { "Name": "edge", "Node": "a", "Etcd": [ "{{_etcd.Address}}" ], "LeaseTime": "2s", "Username": "lb",
                "PasswordFile": "{{PasswordFile}}", "AuthorityFile": "{{authority}}", "StateDirectory": "/proc/none" },
            "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
            "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } },
            "Management": { "Address": "http://127.0.0.1:0" } } }
        """);
}
