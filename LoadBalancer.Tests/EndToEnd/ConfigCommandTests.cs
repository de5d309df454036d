using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The commands for the shared configuration, as programs.</summary>
[Category("Program")]
internal sealed class ConfigCommandTests
{
    private readonly TemporaryDirectory _directory = new();
    private readonly List<ConfiguredNode> _nodes = [];
    private EtcdServer _etcd = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => _etcd = await EtcdServer.StartAsync();

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        foreach (var node in _nodes)
        {
            await node.DisposeAsync();
        }
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
        _directory.Dispose();
    }

    [Test]
    public async Task Config_PushShowHistoryAndRollback_DoWhatTheySay()
    {
        var node = await StartNodeAsync("edge", "a");
        Task<(int Code, string Output, string Errors)> RunAsync(params string[] args) =>
            ConfigCommandTests.RunAsync(node, ["config", .. args]);

        (await RunAsync("show")).Should().Be((1, "", "no configuration was pushed yet: each node uses its own file"));
        (await RunAsync("push", Write("wrong.json", "Polcy"))).Should().Be(
            (1, "nothing was pushed", "LoadBalancer:Pools:web:Polcy: unknown key; did you mean 'Policy'? (line 3)"));
        (await RunAsync("push", _directory.File("none.json"))).Should().Be(
            (1, "", $"'{_directory.File("none.json")}' cannot be read: there is no such file"));

        var file = Write("lb.json", "Policy");
        (await RunAsync("push", file)).Should().Be((0, "configuration 1 was pushed, and this node uses it", ""));
        (await RunAsync("show")).Should().Be((0, (await File.ReadAllTextAsync(file)).TrimEnd(), ""));
        (await RunAsync("rollback", "1")).Should().Be((0, "configuration 2 was pushed, and this node uses it", ""));
        (await RunAsync("rollback", "7")).Should().Be((1, "", "there is no configuration 7; expected one of 2, 1"));
        (await RunAsync("push", file, "--json")).Output.Should().Be(
            "{\"revision\":3,\"applied\":true,\"errors\":[],\"warnings\":[]}");
        var (code, table, _) = await RunAsync("history");
        code.Should().Be(0);
        table.Should().MatchRegex(
            "^REVISION  TIME                  NODE  BY  ROLLBACK OF\n       3  [0-9T:-]+Z  a     -\n       2  [0-9T:-]+Z  a     -   1\n"
            + "       1  [0-9T:-]+Z  a     -$");
        (await RunAsync("history", "--json")).Output.Should().StartWith("{\"revision\":3,\"history\":[{\"revision\":3,");
        (await node.Management.GetStringAsync("/api/pools/web")).Should().Contain("\"policy\":\"First\"");
    }

    [Test]
    public async Task Push_AnotherNodeCannotUseIt_SaysSoAsDoesTheStatus()
    {
        var (a, b) = (await StartNodeAsync("site", "a"), await StartNodeAsync("site", "b"));
        File.WriteAllText(_directory.File("a/sorry.html"), "sorry");
        var file = Write("page.json", "Policy", ", \"ErrorPages\": { \"503\": \"sorry.html\" }");
        await Eventually.BeTrueAsync(
            async () => (await a.Management.GetStringAsync("/api/cluster")).Contains("\"b\"", StringComparison.Ordinal), "a knows b");

        var (code, output, errors) = await RunAsync(a, "config", "push", file);

        const string Error = "configuration 1 cannot be used: LoadBalancer:Listeners:web:ErrorPages:503: ";
        (code, output).Should().Be((1, "configuration 1 was pushed, and this node uses it"));
        errors.Should().StartWith($"node 'b' does not use it: {Error}");
        (await RunAsync(a, "status")).Output.Should().StartWith($"node 'b' does not use the configuration that was pushed: {Error}");
        (await RunAsync(b, "status")).Output.Should().Contain("the configuration has changed and is not used: ");

        File.WriteAllText(_directory.File("b/sorry.html"), "sorry");
        (await RunAsync(b, "reload")).Code.Should().Be(0);
        (await RunAsync(a, "config", "push", file)).Should().Be((0, "configuration 2 was pushed, and this node uses it", ""));
        (await RunAsync(b, "status")).Output.Should().NotContain("configuration that was pushed").And.NotContain("is not used");
    }

    [Test]
    public async Task Status_EtcdIsAway_SaysSoFirst()
    {
        await using var etcd = await EtcdServer.StartAsync();
        var node = await StartNodeAsync("alone", "a", etcd);

        await etcd.KillAsync();
        await Eventually.BeTrueAsync(
            async () => (await node.Management.GetStringAsync("/api/cluster")).Contains("\"connected\":false", StringComparison.Ordinal),
            "the node notices it");

        (await RunAsync(node, "status")).Output.Should().StartWith("cluster 'alone': not connected to etcd: ");
    }

    private async Task<ConfiguredNode> StartNodeAsync(string cluster, string name, EtcdServer? etcd = null)
    {
        Directory.CreateDirectory(_directory.File(name));
        var node = await ConfiguredNode.StartRawAsync(
            $$"""
            { "LoadBalancer": {
                "Cluster": { "Name": "{{cluster}}", "Node": "{{name}}", "Etcd": [ "{{(etcd ?? _etcd).Address}}" ], "LeaseTime": "5s",
                             "ShareConfiguration": true, "StateDirectory": "{{_directory.File("state")}}" },
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } },
                "Management": { "Address": "http://127.0.0.1:0" } } }
            """,
            file: _directory.File($"{name}/{cluster}.json"));
        _nodes.Add(node);
        return node;
    }

    private string Write(string name, string policy, string listener = "")
    {
        File.WriteAllText(_directory.File(name), $$"""
            { "LoadBalancer": { // é
                "Listeners": { "web": { "Pool": "web"{{listener}} } },
                "Pools": { "web": { "{{policy}}": "First", "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } } } }

            """);
        return _directory.File(name);
    }

    private static Task<(int Code, string Output, string Errors)> RunAsync(ConfiguredNode node, params string[] args) =>
        ProgramUnderTest.RunAsync("LoadBalancer", [.. args, "--management", node.Management.BaseAddress!.ToString()]);
}
