using System.Text.Json.Nodes;
using LoadBalancer.Tests.EndToEnd;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Samples;

/// <summary>
/// The chat-room system of samples/, with its real programs: a load balancer in each mode, two logic servers, two data servers.
/// </summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Category("Program")]
internal sealed class ChatRoomTests : IAsyncDisposable
{
    private const string Sample = "samples/chat-room/";
    private const string Key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    private readonly string _folder = Directory.CreateTempSubdirectory("chat").FullName;
    private readonly List<ProgramUnderTest> _programs = [];

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(_programs.Select(program => program.DisposeAsync().AsTask()));
        Directory.Delete(_folder, recursive: true);
    }

    [Test]
    public async Task Talk_AcrossLogicServers_GoesOnWithoutADataServer()
    {
        var ports = Enumerable.Range(0, 14).Select(_ => ReservedPorts.Next()).ToArray();
        var (clients, beatsFl, logicSide, beatsLogic, dataSide, beatsData) = (ports[0], ports[1], ports[2], ports[3], ports[4], ports[5]);
        int[] tcp = ports[6..10], udp = ports[10..];
        string logic = Servers(0), data = Servers(2), management = $"http://127.0.0.1:{ReservedPorts.Next()}";
        var balancers = await Task.WhenAll(
            StartBalancerAsync(
                "fl",
                $$"""
                { "mode": "fl", "client_tcp_listening_addr": "127.0.0.1:{{clients}}",
                  "logic_heartbeat_udp_addr": "127.0.0.1:{{beatsFl}}", "logic_servers": {{logic}} }
                """,
                "logic"),
            StartBalancerAsync(
                "ld",
                $$"""
                { "mode": "ld", "logic_servers_tcp_listening_addr": "127.0.0.1:{{logicSide}}",
                  "logic_servers_heartbeat_udp_addr": "127.0.0.1:{{beatsLogic}}", "logic_servers": {{logic}},
                  "data_servers_tcp_listening_addr": "127.0.0.1:{{dataSide}}",
                  "data_servers_hearbeat_udp_addr": "127.0.0.1:{{beatsData}}", "data_servers": {{data}} }
                """,
                "logic",
                "data",
                management));
        var dataServers = await Task.WhenAll(Enumerable.Range(2, 2)
            .Select(i => StartAsync("DataServer", i, $"127.0.0.1:{beatsData}", "--other", $"127.0.0.1:{tcp[5 - i]}")));
        await SaysAsync(balancers[1], "'data1' is up", "'data2' is up");
        await Task.WhenAll(Enumerable.Range(0, 2)
            .Select(i => StartAsync("LogicServer", i, $"127.0.0.1:{beatsFl},127.0.0.1:{beatsLogic}", "--data", $"127.0.0.1:{logicSide}")));
        await SaysAsync(balancers[0], "'logic1' is up", "'logic2' is up");
        using var http = new HttpClient { BaseAddress = new Uri(management) };
        // Usually each is at one of its own; but a data server that is too slow to send heartbeats gets none.
        await Eventually.BeTrueAsync(async () => (await InFlightAsync()).Sum() == 2, "each logic server is at a data server");

        using LinePeer ana = await LinePeer.ConnectAsync(clients), ben = await LinePeer.ConnectAsync(clients);
        await ana.SendAsync("join kitchen ana", "list");
        (await ana.ReadAsync(2)).Should().Equal("joined kitchen", "rooms kitchen (1)");
        await ben.SendAsync("join kitchen ben", "list");
        var answers = await ben.ReadAsync(2);
        answers[0].Should().Be("joined kitchen");
        answers[1].Should().BeOneOf("rooms kitchen (1)", "rooms kitchen (2)"); // Usually ana is at the other one.
        await HearAsync(ana, "hello");

        var longest = new string('ñ', 500_000); // a megabyte
        await ben.SendAsync($"say kitchen {longest}");
        (await HearsAsync(ana, "kitchen ben:")).Should().Be($"kitchen ben: {longest}");
        (await HearsAsync(ben, "kitchen ben:")).Should().Be($"kitchen ben: {longest}");

        var used = (await InFlightAsync())[0] > 0 ? 0 : 1;
        await dataServers[used].KillAsync();
        await HearAsync(ana, "who is left");
        await HearAsync(ben, "the two of us");
        (await InFlightAsync()).Should().Equal(used == 0 ? [0, 2] : [2, 0]);

        // Says it until both have heard it: while a data server is being lost, what is said may be too.
        async Task HearAsync(LinePeer speaker, string text)
        {
            var name = speaker == ana ? "ana" : "ben";
            using var both = new CancellationTokenSource();
            var saying = SayAsync();
            await HearsAsync(ana, $"kitchen {name}: {text}");
            await HearsAsync(ben, $"kitchen {name}: {text}");
            await both.CancelAsync();
            await saying;

            async Task SayAsync()
            {
                while (!both.IsCancellationRequested)
                {
                    await speaker.SendAsync($"say kitchen {text}");
                    await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, both.Token)
                        .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                }
            }
        }

        string Servers(int first) =>
            $"""[ "127.0.0.1:{tcp[first]} 127.0.0.1:{udp[first]}", "127.0.0.1:{tcp[first + 1]} 127.0.0.1:{udp[first + 1]}" ]""";

        Task<ProgramUnderTest> StartAsync(string project, int i, string beatsTo, params string[] args) =>
            KeepAsync(ProgramUnderTest.StartAsync(
            Sample + project, ["--listen", $"127.0.0.1:{tcp[i]}", "--heartbeat-from", $"127.0.0.1:{udp[i]}", "--heartbeat-to", beatsTo,
                "--key", Key, .. args]));

        async Task<int[]> InFlightAsync() =>
            [.. JsonNode.Parse(await http.GetStringAsync("/api/pools"))!["pools"]!.AsArray()
                .Single(pool => (string)pool!["name"]! == "data")!["backends"]!.AsArray().Select(backend => (int)backend!["inFlight"]!)];
    }

    [TestCase("fl.json")]
    [TestCase("ld.json")]
    public async Task Check_FilesOfTheSample_AreValid(string file) =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "check", "--config",
        Path.Combine(AppContext.BaseDirectory.Split("LoadBalancer.Tests")[0], Sample, file)))
        .Should().Be((0, "configuration is valid", ""));

    // What has been said more than once is passed over.
    private static async Task<string> HearsAsync(LinePeer peer, string start)
    {
        while (true)
        {
            var line = await peer.ReadAsync();
            line.Should().NotBeNull();
            if (line!.StartsWith(start, StringComparison.Ordinal))
            {
                return line;
            }
        }
    }

    private async Task<ProgramUnderTest> StartBalancerAsync(string name, string configuration, string pool, string? other = null,
        string? management = null)
    {
        var file = Path.Combine(_folder, $"{name}.json");
        await File.WriteAllTextAsync(file, configuration);
        return await KeepAsync(ProgramUnderTest.StartAsync(
            "LoadBalancer",
            ["--config", file, $"--LoadBalancer:Pools:{pool}:Heartbeat:Key={Key}", .. other is null
                ? [] : new[] { $"--LoadBalancer:Pools:{other}:Heartbeat:Key={Key}", $"--LoadBalancer:Management:Address={management}" }]));
    }

    private async Task<ProgramUnderTest> KeepAsync(Task<ProgramUnderTest> starting)
    {
        var program = await starting;
        lock (_programs)
        {
            _programs.Add(program);
        }
        return program;
    }

    private static async Task SaysAsync(ProgramUnderTest program, params string[] texts)
    {
        foreach (var text in texts)
        {
            await Eventually.BeTrueAsync(
                () => program.Output.Any(line => line.Contains(text, StringComparison.Ordinal)),
                    $"it says '{text}', not {string.Join('\n', program.Output.Concat(program.Errors))}");
        }
    }
}
