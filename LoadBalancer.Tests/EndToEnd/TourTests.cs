using System.Net;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>What the README promises, with the real programs.</summary>
[Platform(Exclude = "Win", Reason = "programs are stopped by POSIX signals here")]
[Category("Program")]
internal sealed class TourTests
{
    private readonly HttpClient _client = new();
    private int _port;
    private int _port1;
    private int _port2;

    [OneTimeTearDown]
    public void CloseClient() => _client.Dispose();

    [SetUp]
    public void ChoosePorts() => (_port, _port1, _port2) = (ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next());

    [Test]
    public async Task Tour_BackendsComeAndGo_AnswersAsTheReadmeSays()
    {
        // The load balancer first: any order will do.
        await using var balancer = await ProgramUnderTest.StartAsync("LoadBalancer", Settings());
        (await GetAsync()).Should().Be((HttpStatusCode.ServiceUnavailable, "No backend available\n"));

        await Eventually.BeTrueAsync(() =>
            balancer.Output.Count(line => line.Contains("is down", StringComparison.Ordinal)) == 2, "both are missed");
        await using var backend1 = await ProgramUnderTest.StartAsync("Backend1", "--urls", $"http://127.0.0.1:{_port1}");
        await using var backend2 = await ProgramUnderTest.StartAsync("Backend2", "--urls", $"http://127.0.0.1:{_port2}");
        await Eventually.BeTrueAsync(async () => (await BodiesAsync(4)).Distinct().Order()
            .SequenceEqual(["Hello from backend1: GET /\n", "Hello from backend2: GET /\n"]), "probes find both");
        var bodies = await BodiesAsync(4);
        bodies.Distinct().Should().BeEquivalentTo("Hello from backend1: GET /\n", "Hello from backend2: GET /\n");
        bodies[2..].Should().Equal(bodies[..2], "they take turns");

        (await backend1.TerminateAsync()).Should().Be(0);
        (await BodiesAsync(50)).Should().OnlyContain(body => body == "Hello from backend2: GET /\n", "not one request fails");

        await backend2.KillAsync();
        await Eventually.BeTrueAsync(
            () => balancer.Output.Count(line => line.Contains("'backend2' is down", StringComparison.Ordinal)) == 2,
                "it is noticed without a request");
        (await GetAsync()).Should().Be((HttpStatusCode.ServiceUnavailable, "No backend available\n"));

        await using var again = await ProgramUnderTest.StartAsync("Backend1", "--urls", $"http://127.0.0.1:{_port1}");
        await Eventually.BeTrueAsync(async () => (await GetAsync()).Status == HttpStatusCode.OK, "it serves again");

        (await balancer.TerminateAsync()).Should().Be(0);
        var log = string.Join('\n', balancer.Output);
        log.Should().Contain("pool 'web': backend 'backend1' is down: connection refused")
            .And.Contain("pool 'web': backend 'backend1' is up: GET / answered 200");
        balancer.Output.Count(line => line.Contains("backend 'backend1' is up", StringComparison.Ordinal))
            .Should().Be(2, "only changes are logged");
        balancer.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [Test]
    public async Task Stop_RequestInFlight_IsFinishedAndExitCodeIsZero()
    {
        var (received, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var backend = new RawServer(async (peer, _) =>
        {
            if ((await peer.ReadHeadAsync())!.StartsWith("GET /slow", StringComparison.Ordinal))
            {
                received.SetResult();
                await answer.Task;
            }
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            await peer.ReadToEndAsync();
        });
        _port1 = _port2 = backend.Port;
        await using var balancer = await ProgramUnderTest.StartAsync("LoadBalancer", Settings());

        var get = _client.GetStringAsync($"http://127.0.0.1:{_port}/slow");
        await received.Task;
        balancer.BeginTerminate();
        await Eventually.BeTrueAsync(() =>
            balancer.Output.Any(line => line.Contains("stopping", StringComparison.Ordinal)), "it is stopping");
        answer.SetResult();

        (await get).Should().Be("ok");
        (await balancer.EndAsync()).Should().Be(0);
    }

    [TestCase("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")]
    [TestCase("")]
    public async Task Stop_WorkThatNeverEnds_IsCutAtTheDeadlineAndExitCodeIsZero(string answer)
    {
        var received = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            if ((await peer.ReadHeadAsync())!.StartsWith("GET /endless", StringComparison.Ordinal))
            {
                await peer.SendAsync(answer);
                received.SetResult();
                await peer.ReadToEndAsync();
            }
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        _port1 = _port2 = backend.Port;
        await using var balancer =
            await ProgramUnderTest.StartAsync("LoadBalancer", [.. Settings(), "--LoadBalancer:ShutdownTimeout=00:00:01"]);
        using var client = await RawPeer.ConnectAsync(_port);
        await client.SendAsync("GET /endless HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        await received.Task;

        (await balancer.TerminateAsync()).Should().Be(0);

        balancer.Errors.Where(line => line.Length > 0).Should().BeEmpty();
        balancer.Output.Should().NotContain(line => line.Contains("error", StringComparison.Ordinal));
    }

    [Test]
    public async Task Start_PortTaken_IsOneLineThatNamesTheListener()
    {
        await using var other = RawServer.Answering("");
        _port = other.Port;

        var (exitCode, _, errors) = await ProgramUnderTest.RunAsync("LoadBalancer", Settings());

        exitCode.Should().Be(1);
        errors.Should().Be($"listener 'web': cannot listen on http://127.0.0.1:{_port}: the port is taken by another program");
    }

    [Test]
    public async Task Start_InvalidConfiguration_ReportsEveryErrorAndStartsNothing()
    {
        var (exitCode, output, errors) = await ProgramUnderTest.RunAsync(
            "LoadBalancer", [.. Settings(), "--LoadBalancer:Pools:web:Polcy=First",
                "--LoadBalancer:Pools:web:Backends:backend1:Address=htp://x"]);

        exitCode.Should().Be(1);
        output.Should().BeEmpty();
        errors.Split('\n').Should().BeEquivalentTo(
            "LoadBalancer:Pools:web:Polcy: unknown key; did you mean 'Policy'?",
            "LoadBalancer:Pools:web:Backends:backend1:Address: 'htp://x' is not a valid address; expected http://, https:// or " +
                "tcp://host:port");
    }

    [Test]
    public async Task Check_ValidConfiguration_SaysSo() =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "check")).Should().Be((0, "configuration is valid", ""));

    [Test]
    public async Task Check_NoSuchFile_SaysSo() =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "check", "--config", "/nowhere.json"))
        .Should().Be((1, "", $"{Path.GetFullPath("/nowhere.json")}: no such file"));

    [Test]
    public async Task Version_Always_SaysWhichBuildItIs() =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "--version")).Output.Should()
            .MatchRegex(@"^\d+\.\d+\.\d+ \((JIT|ReadyToRun|Native AOT)(, commit [0-9a-f]+)?\)$");

    [Test]
    public async Task Help_Always_NamesOptionsAndCommands() =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "--help")).Output.Should().ContainAll("--config <FILE>", "--version", "check");

    private string[] Settings() =>
    [
        $"--LoadBalancer:Listeners:web:Address=http://127.0.0.1:{_port}",
        $"--LoadBalancer:Pools:web:Backends:backend1:Address=http://127.0.0.1:{_port1}",
        $"--LoadBalancer:Pools:web:Backends:backend2:Address=http://127.0.0.1:{_port2}",
    ];

    // A connection each, as curl makes it.
    private async Task<(HttpStatusCode Status, string Body)> GetAsync()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{_port}/");
        request.Headers.ConnectionClose = true;
        using var response = await _client.SendAsync(request);
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private async Task<string[]> BodiesAsync(int count)
    {
        var bodies = new string[count];
        for (var i = 0; i < count; i++)
        {
            bodies[i] = (await GetAsync()).Body;
        }
        return bodies;
    }
}
