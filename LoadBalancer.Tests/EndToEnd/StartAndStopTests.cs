using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>What the program says when it starts and stops, and what signals do to it.</summary>
[Platform(Exclude = "Win", Reason = "programs are stopped by POSIX signals here")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[Category("Program")]
internal sealed class StartAndStopTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _file;
    private readonly int _web = ReservedPorts.Next();
    private readonly int _raw = ReservedPorts.Next();
    private readonly int _workers = ReservedPorts.Next();
    private readonly int _heartbeats = ReservedPorts.Next();
    private readonly int _management = ReservedPorts.Next();

    public StartAndStopTests()
    {
        _file = _directory.File("loadbalancer.json");
        Write(backend: 1);
    }

    [Test]
    public async Task Start_Always_SaysFirstWhatItIs()
    {
        await using var balancer = await StartAsync();

        balancer.Output.First(line => line.Length > 0).Should().MatchRegex(@"^\S+Z info  LoadBalancer \d+\.\d+\.\d+: configuration ")
            .And.EndWith($": configuration {_file}; listeners web (http://127.0.0.1:{_web}), raw (tcp://127.0.0.1:{_raw}), "
                + $"tasks (tcp://127.0.0.1:0); pools web (1 backend), raw (1 backend), spare (1 backend), tasks (0 backends); "
                + $"management http://127.0.0.1:{_management}");
    }

    [TestCase("web", "listener 'web': cannot listen on http://127.0.0.1:{0}: the port is taken by another program")]
    [TestCase("raw", "listener 'raw': cannot listen on tcp://127.0.0.1:{0}: the port is taken by another program")]
    [TestCase("workers", "listener 'tasks': cannot listen on tcp://127.0.0.1:{0}: the port is taken by another program")]
    [TestCase("management", "listener 'management': cannot listen on http://127.0.0.1:{0}: the port is taken by another program")]
    [TestCase("heartbeats", "pool 'spare': cannot take heartbeats on udp://127.0.0.1:{0}: the port is taken by another program")]
    public async Task Start_PortTaken_SaysNothingButThat(string which, string reason)
    {
        var port = which switch { "web" => _web, "raw" => _raw, "workers" => _workers, "management" => _management, _ => _heartbeats };
        var isUdp = which == "heartbeats";
        using var rival = new Socket(
            AddressFamily.InterNetwork, isUdp ? SocketType.Dgram : SocketType.Stream, isUdp ? ProtocolType.Udp : ProtocolType.Tcp);
        rival.Bind(new IPEndPoint(IPAddress.Loopback, port));
        if (!isUdp)
        {
            rival.Listen();
        }

        (await ProgramUnderTest.RunAsync("LoadBalancer", "--config", _file)).Should()
            .Be((1, "", string.Format(CultureInfo.InvariantCulture, reason, port)));
    }

    [Test]
    public async Task Start_AddressOfAnotherMachine_SaysNothingButThat() =>
        (await ProgramUnderTest.RunAsync(
            "LoadBalancer", "--config", _file, "--LoadBalancer:Listeners:raw:Address=tcp://192.0.2.1:1234"))
        .Should().Be((1, "", "listener 'raw': cannot listen on tcp://192.0.2.1:1234: this machine does not have the address"));

    [Test]
    [Platform("Linux")]
    public async Task Start_TooFewFiles_SaysNothingButThat()
    {
        await using var balancer = ProgramUnderTest.StartWithFiles(200, "LoadBalancer", "--config", _file);

        (await balancer.EndAsync()).Should().Be(1);

        balancer.Errors.Where(line => line.Length > 0).Should().Equal(
            "this process may have 200 open files; expected 256 or more (ulimit -n, or LimitNOFILE= in a systemd unit)");
        balancer.Output.Where(line => line.Length > 0).Should().BeEmpty();
    }

    [Test]
    [Platform("Linux")]
    public async Task Start_LimitOfOpenFilesCanBeRaised_RaisesIt()
    {
        string[] command = [.. ProgramUnderTest.CommandOf("LoadBalancer"), "--config", _file];
        var start = new ProcessStartInfo("sh", ["-c", "ulimit -Sn 300; exec \"$0\" \"$@\"", .. command]);
        start.RedirectStandardOutput = true;
        using var process = Process.Start(start)!;
        try
        {
            // Its columns: limit, what holds, how far it may be raised, unit.
            string[] Limits() => File.ReadLines($"/proc/{process.Id}/limits")
                .First(line => line.StartsWith("Max open files", StringComparison.Ordinal))
                .Split(' ', StringSplitOptions.RemoveEmptyEntries);

            await Eventually.BeTrueAsync(
                () => Limits() is [.., var held, var most, "files"] && held == most, "it may open as many as it can");
        }
        finally
        {
            process.Kill();
        }
    }

    [Test]
    public async Task Stop_NothingInFlight_SaysSo()
    {
        await using var balancer = await StartAsync();

        (await balancer.TerminateAsync()).Should().Be(0);

        balancer.Output.Should().Contain(
            line => line.EndsWith("stopping: no new connections; nothing is in flight", StringComparison.Ordinal));
    }

    [Test]
    public async Task Stop_WorkInFlight_NamesItAndASecondInterruptEndsAtOnce()
    {
        await using var backend = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        Write(backend.Port);
        await using var balancer = await StartAsync();
        using var request = await RawPeer.ConnectAsync(_web);
        await request.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        using var connection = await RawPeer.ConnectAsync(_raw);
        await connection.SendAsync("x");
        await Eventually.BeTrueAsync(() => backend.Accepted >= 2, "both have reached the backend");

        balancer.Signal(ProgramUnderTest.SigInt);
        await Eventually.BeTrueAsync(() => balancer.Output.Any(line => line.EndsWith(
            "stopping: no new connections; waiting 30 s at most for listener 'web': 1 request, listener 'raw': 1 connection",
            StringComparison.Ordinal)), "it says what it waits for");
        balancer.Signal(ProgramUnderTest.SigInt);

        (await balancer.EndAsync()).Should().Be(130);
        balancer.Errors.Where(line => line.Length > 0).Should().BeEmpty();
        balancer.Output.Should().Contain(line => line.Contains("cuts off listener 'web': 1 request", StringComparison.Ordinal));
    }

    [TestCase(ProgramUnderTest.SigHup)]
    [TestCase(ProgramUnderTest.SigUsr1)]
    [Platform("Linux")]
    public async Task Start_SignalBeforeItListens_DoesNotEndIt(int signal)
    {
        await using var balancer = ProgramUnderTest.Start("LoadBalancer", "--config", _file);
        await Eventually.BeTrueAsync(() => Handles(balancer.Id, signal), "it handles the signal");

        balancer.Signal(signal);

        await Eventually.BeTrueAsync(
            () => balancer.Output.Any(line => line.Contains("listener 'web' listens on", StringComparison.Ordinal)), "it listens");
        (await balancer.TerminateAsync()).Should().Be(0);
    }

    [TestCase("", false)]
    [TestCase("nohup ", true)]
    [TestCase("setsid --wait ", true)]
    [Platform("Linux")]
    public async Task Run_TerminalIsClosed_EndsUnlessItIsToOutliveIt(string wrapper, bool lives)
    {
        var (pid, log) = (_directory.File("pid"), _directory.File("log"));
        var program = string.Join(' ', ProgramUnderTest.CommandOf("LoadBalancer"));
        if (!File.Exists("/usr/bin/script"))
        {
            Assert.Ignore("script(1) is not there; Debian has it in bsdutils");
        }
        // script(1) gives it a terminal of its own, which is closed when script is killed.
        var command = $"{wrapper}sh -c 'echo $$ > {pid}; exec {program} --config {_file} > {log} 2>&1'";
        var script = new ProcessStartInfo("env", ["--default-signal=HUP", "--default-signal=INT", "script", "-qec", command, "/dev/null"]);
        script.RedirectStandardOutput = true;
        using var terminal = Process.Start(script)!;
        await Eventually.BeTrueAsync(
            () => File.Exists(log) && File.ReadAllText(log).Contains("listener 'web' listens on", StringComparison.Ordinal), "it listens");
        using var balancer = Process.GetProcessById(int.Parse(
            (await File.ReadAllTextAsync(pid)).Trim(), CultureInfo.InvariantCulture));

        terminal.Kill();

        if (lives)
        {
            await Eventually.BeTrueAsync(() => !Path.Exists($"/proc/{terminal.Id}/fd/0"), "the terminal is gone");
            balancer.HasExited.Should().BeFalse();
            balancer.Kill();
        }
        await Eventually.BeTrueAsync(() => balancer.HasExited, "it ends");
        (await File.ReadAllTextAsync(log)).Contains("stopped", StringComparison.Ordinal).Should().Be(!lives);
    }

    public void Dispose() => _directory.Dispose();

    // The first bit of the mask is signal 1.
    private static bool Handles(int process, int signal)
    {
        const string Key = "SigCgt:";
        var mask = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith(Key, StringComparison.Ordinal))[Key.Length..];
        return (ulong.Parse(mask.Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) >> (signal - 1) & 1) != 0;
    }

    private Task<ProgramUnderTest> StartAsync() => ProgramUnderTest.StartAsync("LoadBalancer", "--config", _file);

    private void Write(int backend) => File.WriteAllText(_file, $$"""
        { "LoadBalancer": {
            "Listeners": {
                "web": { "Address": "http://127.0.0.1:{{_web}}", "Pool": "web" },
                "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:{{_raw}}", "Pool": "raw" },
                "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:0", "WorkerAddress": "tcp://127.0.0.1:{{_workers}}",
                    "Pool": "tasks" } },
            "Pools": {
                "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:{{backend}}" } } },
                "raw": { "Backends": { "b1": { "Address": "tcp://127.0.0.1:{{backend}}" } } },
                "spare": {
                    "Backends": { "b1": { "Address": "tcp://127.0.0.1:1", "HeartbeatAddress": "udp://127.0.0.1:9" } },
                    "Heartbeat": { "Address": "udp://127.0.0.1:{{_heartbeats}}" } },
                "tasks": {} },
            "Management": { "Address": "http://127.0.0.1:{{_management}}" } } }
        """);
}
