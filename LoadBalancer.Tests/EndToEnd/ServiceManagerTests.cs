using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>A node that runs as a service of systemd: what it says, and the sockets that it is given.</summary>
[Platform("Linux")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ServiceManagerTests : IDisposable
{
    private const string Activate = "/usr/bin/systemd-socket-activate";

    private readonly TemporaryDirectory _directory = new();
    private readonly string _file;
    private readonly int _web = ReservedPorts.Next();
    private readonly int _management = ReservedPorts.Next();
    private readonly Socket _systemd = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);

    public ServiceManagerTests()
    {
        _file = _directory.File("loadbalancer.json");
        _systemd.Bind(new UnixDomainSocketEndPoint(_directory.File("notify")));
        Write();
    }

    [Test]
    public async Task Run_AsAService_SaysWhatItDoes()
    {
        await using var balancer = await ProgramUnderTest.StartAsync("LoadBalancer", Notify(), "--config", _file);
        (await ReadAsync()).Should().Be($"READY=1\nMAINPID={balancer.Id}");

        balancer.Signal(ProgramUnderTest.SigHup);
        (await ReadAsync()).Should().StartWith("RELOADING=1\nMONOTONIC_USEC=");
        (await ReadAsync()).Should().Be($"READY=1\nMAINPID={balancer.Id}");

        (await balancer.TerminateAsync()).Should().Be(0);
        (await ReadAsync()).Should().Be("STOPPING=1");
    }

    [Test]
    public async Task Upgrade_AsAService_NamesTheNewProcessAndTheOldOneDoesNotStopTheService()
    {
        await using var balancer = await Upgrades.StartWithAsync(Notify(), _file, _management);
        (await ReadAsync()).Should().Be($"READY=1\nMAINPID={balancer.First.Id}");

        var next = await balancer.UpgradeAsync();

        (await ReadAsync()).Should().Be($"READY=1\nMAINPID={next}");
        (await balancer.First.ExitAsync()).Should().Be(0);
        _systemd.Available.Should().Be(0);
    }

    [Test]
    public async Task Run_SocketsOfTheServiceManager_AreThoseOfTheListenersWithTheirAddresses()
    {
        if (!File.Exists(Activate))
        {
            Assert.Ignore("systemd-socket-activate is not there; Debian has it in systemd");
        }
        var spare = ReservedPorts.Next();
        var program = Path.Combine(
            AppContext.BaseDirectory.Replace("LoadBalancer.Tests", "LoadBalancer", StringComparison.Ordinal), "LoadBalancer.dll");
        var start = new ProcessStartInfo(Activate,
        [
            $"--listen=127.0.0.1:{_web}", $"--listen=127.0.0.1:{spare}", "--fdname=web:spare",
            $"--setenv=DOTNET_ROOT={Environment.GetEnvironmentVariable("DOTNET_ROOT")}", $"--setenv=HOME={_directory.File("")}",
            Environment.ProcessPath!, program, "--config", _file,
        ]);
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        var output = new StringBuilder();
        using var service = new Process { StartInfo = start };
        service.OutputDataReceived += (_, line) => Add(line.Data);
        service.ErrorDataReceived += (_, line) => Add(line.Data);
        service.Start();
        service.BeginOutputReadLine();
        service.BeginErrorReadLine();
        try
        {
            using var client = new HttpClient();
            string? answer = null;
            await Eventually.BeTrueAsync(async () => (answer = await TryAsync(client)) is not null, "it was started by a connection");

            answer.Should().Be("hello");
            await Eventually.BeTrueAsync(() => Text().Contains($"the socket 'spare' at 127.0.0.1:{spare}", StringComparison.Ordinal),
                "it says that no listener has the other one");

            using var kept = await RawPeer.ConnectAsync(_web);
            await kept.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            (await kept.ReadResponseAsync()).Should().NotContain("Connection: close");
            ProgramUnderTest.Signal(service.Id, ProgramUnderTest.SigTerm);
            await Eventually.BeTrueAsync(() => Text().Contains("the sockets of the service manager", StringComparison.Ordinal), "it stops");
            await kept.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            (await kept.ReadToEndAsync()).Should().StartWith("HTTP/1.1 200 ").And.Contain("Connection: close", "it is the last answer");
            await service.WaitForExitAsync();
            service.ExitCode.Should().Be(0);
        }
        finally
        {
            service.Kill(); // Where it has not ended. It has become the load balancer.
        }

        void Add(string? line)
        {
            lock (output)
            {
                output.AppendLine(line);
            }
        }

        string Text()
        {
            lock (output)
            {
                return output.ToString();
            }
        }
    }

    [Test]
    public async Task Run_SocketsOfAnotherProcess_AreIgnored()
    {
        await using var balancer = await ProgramUnderTest.StartAsync(
            "LoadBalancer", new Dictionary<string, string> { ["LISTEN_PID"] = "1", ["LISTEN_FDS"] = "1" }, "--config", _file);

        using var client = new HttpClient();
        (await TryAsync(client)).Should().Be("hello");
        balancer.Errors.Where(line => line.Length > 0).Should().BeEmpty();
    }

    public void Dispose()
    {
        _systemd.Dispose();
        _directory.Dispose();
    }

    private Dictionary<string, string> Notify() => new() { ["NOTIFY_SOCKET"] = _directory.File("notify") };

    private async Task<string> ReadAsync()
    {
        using var late = new CancellationTokenSource(TimeLimits.Event);
        var buffer = new byte[1000];
        return Encoding.UTF8.GetString(buffer, 0, await _systemd.ReceiveAsync(buffer, late.Token));
    }

    private async Task<string?> TryAsync(HttpClient client)
    {
        try
        {
            return await client.GetStringAsync(new Uri($"http://127.0.0.1:{_web}"));
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    private void Write() => File.WriteAllText(_file, $$"""
        { "LoadBalancer": {
            "Listeners": { "web": { "Address": "http://127.0.0.1:{{_web}}", "Pool": "web",
                "Routes": [ { "Path": "/", "Respond": { "Status": 200, "Body": "hello" } } ] } },
            "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } },
            "Management": { "Address": "http://127.0.0.1:{{_management}}" } } }
        """);
}
