using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>What a new process knows beside what operators have set: sticky sessions, heartbeats; and HTTP/2 over TLS.</summary>
[Platform("Linux")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class UpgradeStateTests : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TestCertificates _certificates = new();
    private readonly string _file;
    private readonly int _web = ReservedPorts.Next();
    private readonly int _secure = ReservedPorts.Next();
    private readonly int _heartbeats = ReservedPorts.Next();
    private readonly int _sender = ReservedPorts.Next();
    private readonly int _management = ReservedPorts.Next();
    private readonly RawServer _one = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    private readonly RawServer _two = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    private Upgrades _balancer = null!;

    public UpgradeStateTests()
    {
        _file = _directory.File("loadbalancer.json");
        var certificate = _certificates.Issue("server.pem", "localhost");
        File.WriteAllText(_file, $$"""
            { "LoadBalancer": {
                "Listeners": {
                    "web": { "Address": "http://127.0.0.1:{{_web}}", "Pool": "web" },
                    "secure": { "Address": "https://127.0.0.1:{{_secure}}", "Pool": "web",
                        "Certificates": [ { "File": "{{certificate.File}}", "KeyFile": "{{certificate.KeyFile}}" } ] } },
                "Pools": {
                    "web": { "StickySession": {}, "Backends": {
                        "b1": { "Address": "{{_one.Address}}" }, "b2": { "Address": "{{_two.Address}}" } } },
                    "rooms": { "Heartbeat": { "Address": "udp://127.0.0.1:{{_heartbeats}}" }, "Backends": {
                        "r1": { "Address": "tcp://127.0.0.1:1", "HeartbeatAddress": "udp://127.0.0.1:{{_sender}}" } } } },
                "Management": { "Address": "http://127.0.0.1:{{_management}}" } } }
            """);
    }

    [SetUp]
    public async Task SetUpAsync() => _balancer = await Upgrades.StartWithAsync(
        // A directory in which no key can be stored.
        new Dictionary<string, string> { ["XDG_DATA_HOME"] = "/proc/none" }, _file, _management);

    [Test]
    public async Task Upgrade_KeyThatCannotBeStored_GoesAlong()
    {
        var cookies = new CookieContainer();
        using var client = new HttpClient(new SocketsHttpHandler { CookieContainer = cookies });
        var address = new Uri($"http://127.0.0.1:{_web}");
        var first = await client.GetStringAsync(address);
        cookies.Count.Should().Be(1);

        await _balancer.UpgradeAsync();

        for (var i = 0; i < 6; i++)
        {
            using var fresh = new HttpClient(new SocketsHttpHandler { CookieContainer = cookies });
            (await fresh.GetStringAsync(address)).Should().Be(first);
        }
    }

    [Test]
    public async Task Upgrade_HeartbeatsCome_BackendStaysUp()
    {
        using var sender = new UdpClient(new IPEndPoint(IPAddress.Loopback, _sender));
        using var stop = new CancellationTokenSource();
        var sending = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await sender.SendAsync("OK"u8.ToArray(), new IPEndPoint(IPAddress.Loopback, _heartbeats));
                await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System);
            }
        });
        await Eventually.BeTrueAsync(IsUpAsync, "it is up");

        await _balancer.UpgradeAsync();

        (await IsUpAsync()).Should().BeTrue("what was known goes along");
        await _balancer.First.ExitAsync();
        (await IsUpAsync()).Should().BeTrue("heartbeats come to the new process");
        (await EventsAsync()).Should().NotContain("is down");
        await stop.CancelAsync();
        await sending;
    }

    [Test]
    public async Task Upgrade_Http2OverTls_LosesNoRequest()
    {
        using var handler = new SocketsHttpHandler { UseCookies = false };
        handler.SslOptions.RemoteCertificateValidationCallback = (_, _, _, _) => true;
        using var client = new HttpClient(handler)
        {
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };
        using var stop = new CancellationTokenSource();
        var answered = 0;
        var asking = Enumerable.Range(0, 8).Select(_ => Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                await client.GetStringAsync(new Uri($"https://127.0.0.1:{_secure}/"));
                Interlocked.Increment(ref answered);
            }
        })).ToList();
        await Eventually.BeTrueAsync(() => answered > 50 || asking.Any(task => task.IsCompleted), "requests are answered");

        await _balancer.UpgradeAsync();
        (await _balancer.First.ExitAsync()).Should().Be(0);

        var before = answered;
        await Eventually.BeTrueAsync(() => answered > before + 50 || asking.Any(task => task.IsCompleted), "requests are answered");
        await stop.CancelAsync();
        await Task.WhenAll(asking);
    }

    public async ValueTask DisposeAsync()
    {
        await _balancer.DisposeAsync();
        await _one.DisposeAsync();
        await _two.DisposeAsync();
        _certificates.Dispose();
        _directory.Dispose();
    }

    private async Task<bool> IsUpAsync() =>
        (await _balancer.AskAsync(HttpMethod.Get, "/api/pools/rooms/backends/r1"))["healthy"]!.GetValue<bool>();

    private async Task<string> EventsAsync() =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "events", "--management", $"http://127.0.0.1:{_management}")).Output;
}
