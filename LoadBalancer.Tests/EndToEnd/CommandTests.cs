using System.Text.Json.Nodes;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The commands that talk to a running node, as programs.</summary>
[Category("Program")]
internal sealed class CommandTests
{
    private const string Token = "a-token-for-the-tests";

    private RawServer _backend = null!;
    private ConfiguredNode _node = null!;

    [SetUp]
    public async Task SetUpAsync()
    {
        _backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
        _node = await ConfiguredNode.StartAsync(
            $$"""{ "web": { "Backends": { "b1": { "Address": "{{_backend.Address}}" }, "b2": { "Address": "http://127.0.0.1:1" } } } }""",
            management: $$"""{ "Address": "http://127.0.0.1:0", "Token": "{{Token}}" }""");
    }

    [TearDown]
    public async Task TearDownAsync()
    {
        await _node.DisposeAsync();
        await _backend.DisposeAsync();
    }

    [Test]
    public async Task Status_BackendDown_SaysSoFirst()
    {
        await _node.Client.GetStringAsync("/");
        await _node.Client.GetStringAsync("/"); // One of the two tries b2 first.

        var (code, lines, _) = await RunAsync("status");

        code.Should().Be(0);
        lines[0].Should().Be("pool 'web': backend 'b2' is down: connection refused");
        lines.Should().ContainMatch("web *1 of 2*").And.ContainMatch("LoadBalancer *");
    }

    [Test]
    public async Task Status_ChangedFileIsNotValid_SaysSoFirst()
    {
        await _node.WriteRawAsync("""{ "LoadBalancer": { "Pools": { "web": { "Polcy": "First" } } } }""");
        await RunAsync("reload");

        var (code, lines, _) = await RunAsync("status");

        code.Should().Be(0);
        lines[0].Should().Match(
            "the configuration has changed and is not used: LoadBalancer:Pools:web:Polcy: unknown key; *(and * more: see 'reload')");
    }

    [Test]
    [Platform("Linux")]
    public async Task Pools_ManagementAtUnixSocket_IsReached()
    {
        using var directory = new TemporaryDirectory();
        var path = directory.File("admin.sock");
        await _node.ApplyAsync($$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{_backend.Address}}" } } } },
                "Management": { "Address": "unix:{{path}}" } } }
            """);

        var (code, output, errors) = await ProgramUnderTest.RunAsync("LoadBalancer", "pools", "--management", $"unix:{path}");
        var (missing, _, reason) = await ProgramUnderTest.RunAsync("LoadBalancer", "pools", "--management", $"unix:{path}.none");

        (code, errors.Trim()).Should().Be((0, ""));
        output.Should().Contain(_backend.Address);
        missing.Should().Be(2);
        reason.Should().Contain($"the management listener at unix:{path}.none cannot be reached: no such socket. ");
    }

    [Test]
    public async Task Status_Json_IsThatOfTheApiWithTheNode()
    {
        var (_, lines, _) = await RunAsync("status", "--json");

        JsonNode.Parse(lines[0])!.AsObject().Select(entry => entry.Key)
            .Should().Equal(
                "backends", "pools", "version", "build", "commit", "process", "startedAt", "uptimeSeconds", "configuration", "host",
                "cluster", "user", "lastReload");
    }

    [Test]
    public async Task Pools_OfOnePool_HasARowForEachBackend()
    {
        var (code, lines, _) = await RunAsync("pools", "web");

        code.Should().Be(0);
        lines.Should().HaveCount(3);
        lines[1].Should().MatchRegex($"^web +b1 +{_backend.Address} ");
    }

    [Test]
    public async Task DrainAndWait_BackendIsReadyAgain_EndsWithAnError()
    {
        var b1 = _node.Pool.Snapshot.Members[0];
        _node.Pool.TryAcquire(b1, out var lease).Should().BeTrue();
        using var held = lease;

        var draining = RunAsync("drain", "web/b1", "--wait");
        await Eventually.BeTrueAsync(() => b1.AdminState == LoadBalancer.Pools.AdminState.Draining, "it drains");
        _node.Pool.Change(() => b1.AdminState = LoadBalancer.Pools.AdminState.Ready);

        var (code, _, error) = await draining;
        code.Should().Be(1);
        error.Should().ContainMatch("web/b1 is Ready again*");
    }

    [Test]
    public async Task Changes_ReachTheBackend()
    {
        var b1 = _node.Pool.Snapshot.Members[0];

        (await RunAsync("drain", "web/b1", "--wait")).Lines
            .Should().Equal("web/b1 is Draining, weight 1, 0 in flight", "nothing is in flight");
        b1.AdminState.Should().Be(LoadBalancer.Pools.AdminState.Draining);
        (await RunAsync("disable", "web/b1")).Code.Should().Be(0);
        b1.AdminState.Should().Be(LoadBalancer.Pools.AdminState.Disabled);
        (await RunAsync("ready", "WEB/b1")).Code.Should().Be(0);
        b1.AdminState.Should().Be(LoadBalancer.Pools.AdminState.Ready);
        (await RunAsync("weight", "web/b1", "7")).Lines.Should().Equal("web/b1 is Ready, weight 7, 0 in flight");
        b1.Weight.Should().Be(7);

        await Eventually.BeTrueAsync(
            async () => (await RunAsync("events")).Lines is { Count: > 1 } lines // changes that follow at once may be one
                && lines.Any(line => line.EndsWith(
                    "pool 'web': backend 'b1' has weight 7 instead of 1 (by token)", StringComparison.Ordinal)),
            "the changes are among the events");
    }

    [TestCase("weight web/b1 5000", "weight 5000 is not valid; expected a whole number from 0 to 1000")]
    [TestCase("disable web/b3", "pool 'web' has no backend 'b3'; expected one of 'b1', 'b2'")]
    [TestCase("disable web", "'web' is not a backend; expected POOL/BACKEND, for example web/backend1")]
    [TestCase("pools nope", "there is no pool 'nope'; expected one of 'web'")]
    [TestCase("status --token wrong", "the token is missing or wrong; give it with --token or in LOADBALANCER_TOKEN")]
    public async Task Command_ThatIsRefused_SaysWhyAndExitsWith1(string command, string error)
    {
        var (code, _, errors) = await RunAsync(command.Split(' '));

        code.Should().Be(1);
        errors.Should().Equal(error);
    }

    [Test]
    public async Task Command_NobodyListens_ExitsWith2()
    {
        var (code, lines, errors) = await RunAsync("pools", "--management", "http://127.0.0.1:1");

        code.Should().Be(2);
        lines.Should().Equal("");
        errors.Should().ContainSingle().Which.Should().Be(
            "the management listener at http://127.0.0.1:1/ cannot be reached: Connection refused. "
            + "Is --management right, and does the node run?");
    }

    [Test]
    public async Task Reload_FileThatIsNotValid_PrintsItsErrorsAndExitsWith1()
    {
        await _node.WriteRawAsync("""{ "LoadBalancer": { "Pools": { "web": { "Polcy": "First" } } } }""");

        var (code, lines, errors) = await RunAsync("reload");

        code.Should().Be(1);
        lines.Should().Equal("the configuration was not applied; nothing has changed");
        errors.Should().Contain(line => line.StartsWith("LoadBalancer:Pools:web:Polcy: unknown key", StringComparison.Ordinal));
    }

    [TestCase(true, 0)]
    [TestCase(false, 1)]
    public async Task Pools_ConfigurationFileIsNamed_FindsTheNodeByIt(bool hasManagement, int expected)
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory.File("token"), Token);
        var management = hasManagement
            ? $$"""
              , "Management": {
                  "Address": "{{_node.Management.BaseAddress!.ToString().TrimEnd('/')}}", "TokenFile": "{{directory.File("token")}}" }
              """
            : "";
        await File.WriteAllTextAsync(directory.File("lb.json"), $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{_backend.Address}}" } } } } {{management}} } }
            """);

        var (code, lines, errors) = await ProgramUnderTest.RunAsync("LoadBalancer", ["pools", "web", "-c", directory.File("lb.json")]);

        code.Should().Be(expected);
        (lines + errors).Should().Contain(hasManagement
            ? _backend.Address
            : $"'{directory.File("lb.json")}' has no section Management, without which a node cannot be asked anything");
    }

    [TestCase("-c wrong.json", 0, "")]
    [TestCase("-c wrong.json --management MANAGEMENT", 0, "")]
    [TestCase("-c lost.json", 1, "LoadBalancer:Management:Address: *; correct '*lost.json', or say with --management where the node is")]
    [TestCase("-c lost.json --management MANAGEMENT", 1, "the token is missing or wrong; give it with --token or in LOADBALANCER_TOKEN")]
    [TestCase("-c broken.json", 1, "*broken.json*; correct '*broken.json', or say with --management where the node is")]
    public async Task Pools_ConfigurationFileHasErrors_UsesWhatItSaysOfTheManagement(string options, int expected, string line)
    {
        using var directory = new TemporaryDirectory();
        var management = _node.Management.BaseAddress!.ToString().TrimEnd('/');
        string With(string address) => $$"""
            { "LoadBalancer": { "Pools": { "web": { "Polcy": 1 } }, "Management": { "Address": "{{address}}", "Token": "{{Token}}" } } }
            """;
        await File.WriteAllTextAsync(directory.File("wrong.json"), With(management));
        await File.WriteAllTextAsync(directory.File("lost.json"), With("nowhere"));
        await File.WriteAllTextAsync(directory.File("broken.json"), "{ \"LoadBalancer\": [");
        var args = options.Replace("MANAGEMENT", management, StringComparison.Ordinal).Split(' ');

        var (code, lines, errors) = await ProgramUnderTest.RunAsync(
            "LoadBalancer", ["pools", "web", args[0], directory.File(args[1]), .. args[2..]]);

        code.Should().Be(expected);
        (lines + errors).Should().Match(expected == 0 ? $"*{_backend.Address}*" : line);
    }

    private async Task<(int Code, List<string> Lines, List<string> Errors)> RunAsync(params string[] args)
    {
        string[] where = args.Contains("--management") ? [] : ["--management", _node.Management.BaseAddress!.ToString()];
        string[] token = args.Contains("--token") ? [] : ["--token", Token];
        var (code, lines, errors) = await ProgramUnderTest.RunAsync("LoadBalancer", [.. args, .. where, .. token]);
        return (code, [.. lines.Split('\n')], [.. errors.Split('\n')]);
    }
}
