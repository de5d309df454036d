using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The commands for the shared configuration, as programs.</summary>
[Category("Program")]
internal sealed class ConfigCommandTests
{
    private readonly TemporaryDirectory _directory = new();
    private EtcdServer _etcd = null!;
    private ConfiguredNode _node = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdServer.StartAsync();
        _node = await ConfiguredNode.StartRawAsync($$"""
            { "LoadBalancer": {
                "Cluster": { "Name": "edge", "Node": "a", "Etcd": [ "{{_etcd.Address}}" ], "LeaseTime": "2s", "ShareConfiguration": true,
                             "StateDirectory": "{{_directory.File("state")}}" },
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } },
                "Management": { "Address": "http://127.0.0.1:0" } } }
            """);
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        await (_node?.DisposeAsync() ?? ValueTask.CompletedTask);
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
        _directory.Dispose();
    }

    [Test]
    public async Task Config_PushShowHistoryAndRollback_DoWhatTheySay()
    {
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
        (await _node.Management.GetStringAsync("/api/pools/web")).Should().Contain("\"policy\":\"First\"");
    }

    private string Write(string name, string policy)
    {
        File.WriteAllText(_directory.File(name), $$"""
            { "LoadBalancer": { // é
                "Listeners": { "web": { "Pool": "web" } },
                "Pools": { "web": { "{{policy}}": "First", "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } } } }

            """);
        return _directory.File(name);
    }

    private Task<(int Code, string Output, string Errors)> RunAsync(params string[] args) => ProgramUnderTest.RunAsync(
        "LoadBalancer", ["config", .. args, "--management", _node.Management.BaseAddress!.ToString()]);
}
