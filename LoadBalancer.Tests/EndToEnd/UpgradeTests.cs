using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Runtime.Versioning;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>A process that another one replaces while clients are served.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class UpgradeTests : IAsyncDisposable
{
    private const int SigUsr2 = 12;
    private const int SigTerm = 15;

    private readonly TemporaryDirectory _directory = new();
    private readonly string _file;
    private readonly int _web = ReservedPorts.Next();
    private readonly int _raw = ReservedPorts.Next();
    private readonly int _management = ReservedPorts.Next();
    private readonly RawServer _one = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    private readonly RawServer _echo = RawServer.Echoing();
    private Upgrades _balancer = null!;

    public UpgradeTests()
    {
        _file = _directory.File("loadbalancer.json");
        Write();
    }

    [SetUp]
    public async Task SetUpAsync() => _balancer = await Upgrades.StartAsync(_file, _management);

    [Test]
    public async Task Upgrade_UnderLoad_LosesNoConnectionAndNoRequest()
    {
        await using var keepAlive = new SteadyLoad(_web, isKeptAlive: true);
        await using var fresh = new SteadyLoad(_web, isKeptAlive: false);
        using var relayed = await RawPeer.ConnectAsync(_raw);
        await relayed.SendAsync("before");
        (await relayed.ReadUntilAsync("before")).Should().NotBeNull();
        await keepAlive.AnsweredAsync(50);
        var first = await _balancer.ServingAsync();

        var second = await _balancer.UpgradeAsync();

        second.Should().NotBe(first);
        (await _balancer.ServingAsync()).Should().Be(second);
        await keepAlive.AnsweredAsync(50);
        await fresh.AnsweredAsync(50);
        await relayed.SendAsync("after");
        (await relayed.ReadUntilAsync("after")).Should().NotBeNull("a relayed connection goes on in the old process");
        relayed.Dispose();
        await Upgrades.EndedAsync(first);
        await keepAlive.AnsweredAsync(50);
        await fresh.AnsweredAsync(50);
        keepAlive.Failures.Should().BeEmpty();
        fresh.Failures.Should().BeEmpty();
        _balancer.First.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [Test]
    public async Task Upgrade_UnixSocket_StaysAndIsRemovedByTheLastProcess()
    {
        const string Get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        var path = _directory.File("lb.sock");
        Write($$""", "local": { "Address": "unix:{{path}}", "Pool": "web" } """);
        await _balancer.AskAsync(HttpMethod.Post, "/api/reload");
        (await RawPeer.ExchangeAsync(path, Get)).Should().EndWith("one");
        var first = await _balancer.ServingAsync();

        var second = await _balancer.UpgradeAsync();
        await Upgrades.EndedAsync(first);

        (await RawPeer.ExchangeAsync(path, Get)).Should().EndWith("one");
        ProgramUnderTest.Signal(second, SigTerm);
        await Upgrades.EndedAsync(second);
        File.Exists(path).Should().BeFalse();
    }

    [Test]
    public async Task Upgrade_AnOperatorHasChangedAPool_ItAndTheAuditGoAlong()
    {
        await _balancer.AskAsync(HttpMethod.Patch, "/api/pools/web", new { policy = "First" });

        await _balancer.UpgradeAsync();

        (await _balancer.AskAsync(HttpMethod.Get, "/api/config"))["differences"]!.ToJsonString()
            .Should().Be("""{"LoadBalancer":{"Pools":{"web":{"Policy":"First"}}}}""");
        (await _balancer.AskAsync(HttpMethod.Get, "/api/audit"))["entries"]!.AsArray()
            .Select(entry => $"{entry!["action"]} {entry["result"]}").Should().Equal("upgrade started", "patch done");
    }

    [Test]
    public async Task Upgrade_OldProcess_EndsWith0()
    {
        await _balancer.UpgradeAsync();

        (await _balancer.First.ExitAsync()).Should().Be(0);
    }

    [Test]
    public async Task Upgrade_BySigUsr2_ReplacesTheProcess()
    {
        _balancer.First.Signal(SigUsr2);

        await Eventually.BeTrueAsync(async () => await _balancer.ServingAsync() != _balancer.First.Id, "another process serves");
        (await _balancer.First.ExitAsync()).Should().Be(0);
        using var client = new HttpClient();
        (await client.GetStringAsync(new Uri($"http://127.0.0.1:{_web}"))).Should().Be("one");
    }

    [Test]
    public async Task Upgrade_ByCommand_SaysWhoServes()
    {
        var (code, output, errors) = await ProgramUnderTest.RunAsync(
            "LoadBalancer", "upgrade", "--management", $"http://127.0.0.1:{_management}");

        errors.Should().BeEmpty();
        output.Should().Be($"process {await _balancer.ServingAsync()} serves now");
        code.Should().Be(0);
    }

    [Test]
    public async Task Upgrade_ConfigurationThatIsNotValid_SaysWhyAndTheOldProcessGoesOn()
    {
        // The node refuses the changed file too; only the new process is asked here.
        await File.WriteAllTextAsync(_file, """{ "LoadBalancer": { "Pools": { "web": { "Polcy": "First" } } } }""");

        var (code, output, errors) = await ProgramUnderTest.RunAsync(
            "LoadBalancer", "upgrade", "--management", $"http://127.0.0.1:{_management}");

        code.Should().Be(1);
        output.Should().Be("nothing has changed: the process that served before goes on");
        errors.Should().Contain("LoadBalancer:Pools:web:Polcy: unknown key");
        await ServesAsBeforeAsync();
    }

    [Test]
    public async Task Upgrade_PortOfAnotherProgram_SaysWhyAndTheOldProcessGoesOn()
    {
        var port = ReservedPorts.Next();
        using var rival = new TcpListener(IPAddress.Loopback, port);
        rival.Start();
        Write($$""", "more": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:{{port}}", "Pool": "raw" } """);

        var answer = await _balancer.AskAsync(HttpMethod.Post, "/api/upgrade");

        answer.ToJsonString().Should().Be(
            "{\"replaced\":false,\"process\":null,\"errors\":[\"listener \\u0027more\\u0027: cannot listen on tcp://127.0.0.1:" + port
            + ": the port is taken by another program\"]}");
        await ServesAsBeforeAsync();
    }

    [Test]
    public async Task Upgrade_ProgramThatDies_SaysSoAndTheOldProcessGoesOn()
    {
        var script = _directory.File("dies");
        await File.WriteAllTextAsync(script, "#!/bin/sh\nexit 3\n");
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);

        var answer = await _balancer.AskAsync(HttpMethod.Post, "/api/upgrade", new { program = script });

        answer.ToJsonString().Should().Contain("the new process has ended with exit code 3 before it was ready");
        await ServesAsBeforeAsync();
    }

    [Test]
    public async Task Upgrade_IsUnderWay_ChangesAreRefusedUntilItHasFailed()
    {
        var (script, begun) = (_directory.File("slow"), _directory.File("begun"));
        await File.WriteAllTextAsync(script, $"#!/bin/sh\ntouch {begun}; sleep 1\n");
        File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var upgrade = _balancer.AskAsync(HttpMethod.Post, "/api/upgrade", new { program = script });
        await Eventually.BeTrueAsync(() => File.Exists(begun), "it has begun");

        using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{_management}") };
        using var change = JsonContent.Create(new { weight = 3 });
        var path = new Uri("/api/pools/web/backends/b1", UriKind.Relative);
        using var refused = await client.PatchAsync(path, change);
        refused.StatusCode.Should().Be(HttpStatusCode.Conflict);

        (await upgrade)["replaced"]!.GetValue<bool>().Should().BeFalse();
        using var taken = await client.PatchAsync(path, change);
        taken.StatusCode.Should().Be(HttpStatusCode.OK);
    }

    [Test]
    public async Task Upgrade_StateOfOperators_GoesAlong()
    {
        await _balancer.AskAsync(HttpMethod.Patch, "/api/pools/web/backends/b1", new { weight = 7 });
        await _balancer.AskAsync(HttpMethod.Patch, "/api/pools/web/backends/b2", new { adminState = "Draining" });
        await _balancer.AskAsync(HttpMethod.Put, "/api/pools/web/backends/b3", new { address = _one.Address, weight = 2 });
        await Eventually.BeTrueAsync(
            async () => (await _balancer.AskAsync(HttpMethod.Get, "/api/pools/web/backends/b2"))["healthy"]?.GetValue<bool>() == false,
            "b2 is known to be down");

        await _balancer.UpgradeAsync();

        var web = (await _balancer.AskAsync(HttpMethod.Get, "/api/pools"))["pools"]!.AsArray().Single(pool => $"{pool!["name"]}" == "web")!;
        web["backends"]!.AsArray().Select(backend => $"{backend!["name"]} {backend["adminState"]} {backend["weight"]} {backend["healthy"]}")
            .Should().Equal("b1 Ready 7 true", "b2 Draining 1 false", "b3 Ready 2 true");
        var (_, events, _) = await ProgramUnderTest.RunAsync(
            "LoadBalancer", "events", "--management", $"http://127.0.0.1:{_management}");
        events.Should().Contain("backend 'b1' has weight 7 instead of 1").And.Contain("backend 'b2' was set to Draining");
    }

    [Test]
    [Explicit("takes half a minute")]
    [Category("Long")]
    public async Task Upgrade_TenTimesInARowUnderLoad_LosesAndLeaksNothing()
    {
        await using var keepAlive = new SteadyLoad(_web, isKeptAlive: true);
        await using var fresh = new SteadyLoad(_web, isKeptAlive: false);
        var files = new List<int>();
        for (var i = 0; i < 10; i++)
        {
            var before = await _balancer.ServingAsync();
            var process = await _balancer.UpgradeAsync();
            await keepAlive.AnsweredAsync(100);
            await fresh.AnsweredAsync(100);
            await Upgrades.EndedAsync(before);
            await Eventually.BeTrueAsync(() => Upgrades.Count(_file) == 1, "one process is left");
            files.Add(Upgrades.OpenFiles(process));
        }
        keepAlive.Failures.Should().BeEmpty();
        fresh.Failures.Should().BeEmpty();
        files[^1].Should().BeLessThan(files[0] + 10, "connections come and go, but nothing adds up");
        _balancer.First.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    public async ValueTask DisposeAsync()
    {
        await _balancer.DisposeAsync();
        await _one.DisposeAsync();
        await _echo.DisposeAsync();
        _directory.Dispose();
    }

    private async Task ServesAsBeforeAsync()
    {
        (await _balancer.ServingAsync()).Should().Be(_balancer.First.Id);
        using var client = new HttpClient();
        using var response = await client.GetAsync(new Uri($"http://127.0.0.1:{_web}"));
        response.StatusCode.Should().Be(HttpStatusCode.OK);
        await Eventually.BeTrueAsync(() => Upgrades.Count(_file) == 1, "no other process is left");
    }

    private void Write(string listeners = "") => File.WriteAllText(_file, $$"""
        { "LoadBalancer": {
            "Listeners": {
                "web": { "Address": "http://127.0.0.1:{{_web}}", "Pool": "web" },
                "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:{{_raw}}", "Pool": "raw" } {{listeners}} },
            "Pools": {
                "web": { "HealthCheck": { "Type": "Tcp" }, "Backends": {
                    "b1": { "Address": "{{_one.Address}}" }, "b2": { "Address": "http://127.0.0.1:1" } } },
                "raw": { "Backends": { "e1": { "Address": "tcp://127.0.0.1:{{_echo.Port}}" } } } },
            "Management": { "Address": "http://127.0.0.1:{{_management}}" } } }
        """);
}
