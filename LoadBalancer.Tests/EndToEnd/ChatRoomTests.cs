using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The real program with ChatRoom files, and backends that announce themselves as those of that system do.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Category("Program")]
internal sealed class ChatRoomTests : IDisposable
{
    private const string NoBackendFl = """{"response_code":503,"response_text":"No available backend"}""";
    private const string NoBackendLd = """{"response_code":503,"response_text":"No backend available"}""";
    private const string NoFrontendLd = """{"response_code":503,"response_text":"No frontend available"}""";

    private readonly string _file = Path.GetTempFileName();
    private readonly int[] _ports = [ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next()];

    public void Dispose() => File.Delete(_file);

    [Test]
    public async Task Fl_BackendsComeAndFallSilent_ClientsAreRelayedOrToldSo()
    {
        await using var one = new Backend("one", _ports[1]);
        await using var two = new Backend("two", _ports[1], announcesAnyAddress: true);
        await WriteFlAsync(one, two);
        string[] command = ["--config", _file, "--LoadBalancer:Pools:logic:Heartbeat:Timeout=00:00:03"];
        await using (var first = await ProgramUnderTest.StartAsync("LoadBalancer", command))
        {
            (await ExchangeAsync(_ports[0])).Should().Be((NoBackendFl, false));
            await Task.WhenAll(one.RegisterAsync(), two.RegisterAsync());
            (await Task.WhenAll(AskAsync(_ports[0]), AskAsync(_ports[0]))).Should().BeEquivalentTo("one hears hello", "two hears hello");
            (await first.TerminateAsync()).Should().Be(0);
        }

        // It has no registered backends and answers every heartbeat with AUTH.
        await using var second = await ProgramUnderTest.StartAsync("LoadBalancer", command);
        await SaysAsync(second, "backend 'logic1' is up: registered from");
        await SaysAsync(second, "backend 'logic2' is up: registered from");
        using var client = await RawPeer.ConnectAsync(_ports[0]);
        await client.SendAsync("a");
        var answer = await client.ReadAsync(11);
        one.FallSilent();
        two.FallSilent();
        await SaysAsync(second, "backend 'logic1' is down: no heartbeat for 3 s");
        await SaysAsync(second, "backend 'logic2' is down: no heartbeat for 3 s");

        (await ExchangeAsync(_ports[0])).Should().Be((NoBackendFl, false));
        await client.SendAsync("b");
        (await client.ReadAsync(11)).Should().Be(
            answer.Replace("hears a", "hears b", StringComparison.Ordinal), "who is connected is left alone");
        client.EndSending();
        (await client.ReadToItsEndAsync()).Should().Be(("", false));
        (await second.TerminateAsync()).Should().Be(0);
        second.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Ld_BothSidesComeAndFallSilent_EachIsRelayedToTheOtherOrToldSo()
    {
        await using var logic = new Backend("logic", _ports[1]);
        await using var data = new Backend("data", _ports[3]);
        await File.WriteAllTextAsync(_file, $$"""
            {
              "mode": "ld",
              "logic_servers_tcp_listening_addr": "127.0.0.1:{{_ports[0]}}",
              "logic_servers_heartbeat_udp_addr": "127.0.0.1:{{_ports[1]}}",
              "logic_servers": [ "{{logic.Announced}}" ],
              "data_servers_tcp_listening_addr": "127.0.0.1:{{_ports[2]}}",
              "data_servers_hearbeat_udp_addr": "127.0.0.1:{{_ports[3]}}",
              "data_servers": [ "{{data.Announced}}" ]
            }
            """);
        await using var program = await ProgramUnderTest.StartAsync(
            "LoadBalancer", "--config", _file, "--LoadBalancer:Pools:logic:Heartbeat:Timeout=00:00:03",
                "--LoadBalancer:Pools:data:Heartbeat:Timeout=00:00:03");
        await SaysAsync(program, $"listens on tcp://127.0.0.1:{_ports[2]}");
        (await ExchangeAsync(_ports[0])).Should().Be((NoBackendLd, false));
        (await ExchangeAsync(_ports[2])).Should().Be((NoFrontendLd, false));

        await Task.WhenAll(logic.RegisterAsync(), data.RegisterAsync());

        (await AskAsync(_ports[0])).Should().Be("data hears hello");
        (await AskAsync(_ports[2])).Should().Be("logic hears hello");
        data.FallSilent();
        await SaysAsync(program, "pool 'data': backend 'data1' is down: no heartbeat for 3 s");
        (await ExchangeAsync(_ports[0])).Should().Be((NoBackendLd, false));
        (await AskAsync(_ports[2])).Should().Be("logic hears hello");
        logic.FallSilent();
        await SaysAsync(program, "pool 'logic': backend 'logic1' is down: no heartbeat for 3 s");
        (await ExchangeAsync(_ports[2])).Should().Be((NoFrontendLd, false));
        (await program.TerminateAsync()).Should().Be(0);
        program.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [Test]
    public async Task Check_GoodFile_SaysSo()
    {
        await WriteFlAsync();

        (await ProgramUnderTest.RunAsync("LoadBalancer", "check", "--config", _file)).Should().Be((0, "configuration is valid", ""));
    }

    [Test]
    public async Task Check_BrokenFile_TellsEverythingAtOnceByItsPathInTheFile()
    {
        await File.WriteAllTextAsync(_file, """
            { "mode": "fl", "client_tcp_listening_addr": "localhost:1", "logic_heartbeat_udp_addr": "127.0.0.1",
              "logic_server": [ "127.0.0.1:1 127.0.0.1:2" ] }
            """);

        (await ProgramUnderTest.RunAsync("LoadBalancer", "check", "--config", _file)).Should().Be((1, "", """
            logic_server: unknown key; did you mean 'logic_servers'? (line 2)
            client_tcp_listening_addr: 'localhost:1' is not an address; expected ip:port, for example 0.0.0.0:3001 (line 1)
            logic_heartbeat_udp_addr: '127.0.0.1' is not an address; expected ip:port, for example 0.0.0.0:3001 (line 1)
            logic_servers: is missing; expected [ "<tcp ip:port> <udp ip:port>", … ]
            """.ReplaceLineEndings("\n")));
    }

    [Test]
    public async Task Start_UdpPortTaken_IsOneLineThatNamesThePool()
    {
        await WriteFlAsync();
        using var other = new UdpClient(new IPEndPoint(IPAddress.Loopback, _ports[1]));

        (await ProgramUnderTest.RunAsync("LoadBalancer", "--config", _file)).Should().Be(
            (1, "", $"pool 'logic': cannot take heartbeats on udp://127.0.0.1:{_ports[1]}: the port is taken by another program"));
    }

    private Task WriteFlAsync(params Backend[] backends)
    {
        var servers = backends.Length == 0
            ? "127.0.0.1:1 127.0.0.1:2"
            : string.Join("\", \"", backends.Select(backend => backend.Configured));
        return File.WriteAllTextAsync(_file, $$"""
            {
              "mode": "fl",
              "client_tcp_listening_addr": "127.0.0.1:{{_ports[0]}}",
              "logic_heartbeat_udp_addr": "127.0.0.1:{{_ports[1]}}",
              "logic_servers": [ "{{servers}}" ]
            }
            """);
    }

    // As one who has something to say, so that what it sent lies unread when it is turned away.
    private static async Task<(string Text, bool IsReset)> ExchangeAsync(int port)
    {
        using var client = await RawPeer.ConnectAsync(port);
        await client.SendAsync("hello");
        return await client.ReadToItsEndAsync();
    }

    private static async Task<string> AskAsync(int port)
    {
        using var client = await RawPeer.ConnectAsync(port);
        await client.SendAsync("hello");
        client.EndSending();
        return await client.ReadToEndAsync();
    }

    private static Task SaysAsync(ProgramUnderTest program, string text) => Eventually.BeTrueAsync(
        () => program.Output.Any(line => line.Contains(text, StringComparison.Ordinal)),
            $"it says '{text}', not {string.Join('\n', program.Output.Concat(program.Errors))}");

    /// <summary>Says what it hears. Registers with its two addresses, waits for OK, then sends OK again and again.</summary>
    private sealed class Backend : IAsyncDisposable
    {
        private static readonly TimeSpan Rhythm = TimeSpan.FromMilliseconds(100);

        private readonly CancellationTokenSource _stop = new();
        private readonly RawServer _server;
        private readonly UdpClient _udp = new(new IPEndPoint(IPAddress.Loopback, 0)); // not where its heartbeats are said to come from
        private readonly int _udpPort = ReservedPorts.Next();
        private readonly IPEndPoint _balancer;
        private readonly bool _announcesAnyAddress;
        private Task _beating = Task.CompletedTask;

        public Backend(string name, int heartbeatPort, bool announcesAnyAddress = false)
        {
            (_balancer, _announcesAnyAddress) = (new IPEndPoint(IPAddress.Loopback, heartbeatPort), announcesAnyAddress);
            _server = new RawServer(async (peer, _) =>
            {
                while (await peer.ReadSomeAsync() is { Length: > 0 } text)
                {
                    await peer.SendAsync($"{name} hears {text}");
                }
            });
        }

        public string Configured => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{_server.Port} 127.0.0.1:{_udpPort}");

        public string Announced => _announcesAnyAddress ? Configured.Replace("127.0.0.1", "0.0.0.0", StringComparison.Ordinal) : Configured;

        public async Task RegisterAsync()
        {
            await SendAsync(Announced);
            Encoding.UTF8.GetString((await _udp.ReceiveAsync(_stop.Token)).Buffer).Should().Be("OK");
            _beating = Task.WhenAll(BeatAsync(), AnswerAsync());
        }

        public void FallSilent() => _stop.Cancel();

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _beating.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _server.DisposeAsync();
            _udp.Dispose();
            _stop.Dispose();
        }

        private async Task BeatAsync()
        {
            for (; ; await Task.Delay(Rhythm, TimeProvider.System, _stop.Token))
            {
                await SendAsync("OK");
            }
        }

        private async Task AnswerAsync()
        {
            while (true)
            {
                if (Encoding.UTF8.GetString((await _udp.ReceiveAsync(_stop.Token)).Buffer) == "AUTH")
                {
                    await SendAsync(Announced);
                }
            }
        }

        private async Task SendAsync(string text) => await _udp.SendAsync(Encoding.UTF8.GetBytes(text), _balancer, _stop.Token);
    }
}
