using System.Globalization;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Server;
using LoadBalancer.Management;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tests.Zmtp;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Composition;

/// <summary>
/// Every handshake and every first message has a deadline, on every port and in every version: a peer that sends nothing, or half, or one
/// byte after the other, loses its connection then.
/// </summary>
internal sealed class DeadlineTests
{
    private const string Settings = "\0\0\0\x04\0\0\0\0\0";
    private const string HeadersWithoutEnd = "\0\0\x01\x01\x01\0\0\0\x01\x82";
    private const string Continuation = "\0\0\x01\x09\0\0\0\0\x01\x84";
    private const string Token = "0123456789abcdef";

    // One byte of each message is sent in each of these steps.
    private static readonly TimeSpan Step = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Fixed = TimeSpan.FromSeconds(10); // and FirstLineTimeout in these tests

    private static readonly HttpListenerOptions Http = new();

    private static readonly Row[] Rows =
    [
        // The limits of Kestrel are in real time, and are short in these tests.
        new("Http, HTTP/1.1", "the first byte", Http.KeepAliveTimeout, "h1", "", ""),
        new("Http, HTTP/1.1", "the rest of the head", Http.RequestHeadersTimeout, "h1", "G", "ET / HTTP/1.1\r\nHost: a"),
        new("Http, HTTP/2", "the preface", Http.KeepAliveTimeout, "h2", "", Http2Wire.Preface),
        new("Http, HTTP/2", "the preface", Http.KeepAliveTimeout, "h2", Http2Wire.Preface, Settings),
        new("Http, HTTP/2", "the preface", Http.KeepAliveTimeout, "h2", Http2Wire.Preface + Settings, HeadersWithoutEnd),
        new("Http, HTTP/2", "the last CONTINUATION", Http.RequestHeadersTimeout, "h2", Http2Wire.Preface + Settings + HeadersWithoutEnd,
            Continuation),
        new("Management", "the rest of the head", TimeSpan.FromSeconds(10), "management", "G", "ET / HTTP/1.1\r\nHost: 127.0.0.1"),
        new("Management", "the whole body", BodyReader.Timeout, "management",
            $"PATCH /api/pools/web/backends/b HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {Token}\r\n"
            + "Content-Length: 100\r\n\r\n", "{          "),

        new("Http, https://", "the whole TLS handshake", TlsMiddleware.HandshakeTimeout, "tls", "", "\x16\x03\x01\x01\0\x01\0"),
        new("Tcp", "PROXY header and TLS handshake", Fixed, "tcp-tls", "", "\x16\x03\x01\x01\0\x01\0"),
        new("Tcp", "PROXY header and TLS handshake", Fixed, "tcp-proxy", "", "PROXY TCP4 127.0.0.1 127.0.0.1 1000 2000\r"),
        new("Tcp", "PROXY header and TLS handshake", Fixed, "tcp-proxy", "", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\0\0\0\0"),
        new("Tasks, clients", "the first valid line", new TasksListenerOptions().FirstLineTimeout, "tasks", "", "TASK|a|data"),
        new("Tasks, clients", "the first valid line", new TasksListenerOptions().FirstLineTimeout, "tasks", "HELLO\n", "TASK|a|data"),
        new("Tasks, workers", "`REGISTER`", new TasksListenerOptions().FirstLineTimeout, "workers", "", "REGISTER|worker"),
        new("Tasks, workers", "`REGISTER`", new TasksListenerOptions().FirstLineTimeout, "workers", "HELLO\n", "REGISTER|worker"),
        .. new[] { "Clients", "Workers", "HealthCheck", "AlternativePing", "WorkerCheckClients", "WorkerCheckWorkers" }.SelectMany(
            port => new[] { ZmtpBytes.GreetingOf(0), ZmtpBytes.LibzmqGreeting }.SelectMany(greeting => new Row[]
            {
                new("Broker, each of its six ports", "greeting and READY", new ZmtpLimits().HandshakeTimeout, port, "", greeting),
                new("Broker, each of its six ports", "greeting and READY", new ZmtpLimits().HandshakeTimeout, port, greeting,
                    ZmtpBytes.Ready("REQ")),
            })),
    ];

    [Test]
    [Category("Long")]
    [Explicit("takes long; .ci/run runs it")]
    public async Task Connection_NothingOrHalfOrByteByByte_IsClosedAtItsDeadline()
    {
        using var certificates = new TestCertificates();
        var clock = new FakeClock();
        using var node = Node.Build(OptionsWith(certificates.Issue("node", "localhost")), clock);
        await node.StartAsync();
        var ports = PortsOf(node);
        var armed = clock.TimersWithin(Fixed);
        var peers = new List<Peer>();
        foreach (var row in Rows)
        {
            peers.Add(await Peer.OpenAsync(row, "nothing", ports[row.Listener], ""));
            peers.Add(await Peer.OpenAsync(row, "half", ports[row.Listener], row.Rest[..(row.Rest.Length / 2)]));
            peers.Add(await Peer.OpenAsync(row, "drip", ports[row.Listener], ""));
        }
        // Each deadline of ours is one timer. Kestrel's deadlines are no timers of this clock.
        var ours = peers.Count(peer => !peer.Row.IsKestrels);
        await Eventually.BeTrueAsync(() => clock.TimersWithin(Fixed) >= armed + ours, "each of them has a deadline");

        for (var time = Step; time < Fixed; time += Step)
        {
            foreach (var peer in peers.Where(peer => peer.Mode == "drip"))
            {
                await peer.DripAsync();
            }
            clock.Advance(Step);
        }
        peers.Where(peer => !peer.Row.IsKestrels && peer.Closed.IsCompleted).Should().BeEmpty("their time is not over");
        clock.Advance(Step);

        await Eventually.BeTrueAsync(
            async () =>
            {
                foreach (var peer in peers.Where(peer => peer.Row.IsKestrels && peer.Mode == "drip"))
                {
                    await peer.DripAsync();
                }
                return peers.TrueForAll(peer => peer.Closed.IsCompleted);
            },
            "all are closed");
        peers.ForEach(peer => peer.Dispose());
        await node.StopAsync();
    }

    // A backend that accepts and says nothing, or does not even accept.
    [TestCase("http", "1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [TestCase("http", "2.0", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [TestCase("https", "1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [TestCase("https", "2.0", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [TestCase("http", "1.1", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")]
    [TestCase("hole", "1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    public async Task Backend_SilentOrOutOfReach_IsGivenUpAtItsDeadline(string scheme, string version, string request)
    {
        await using var silent = new RawServer((peer, _) => peer.ReadToEndAsync());
        using var hole = new BlackHole();
        var address = scheme == "hole" ? hole.Address : silent.Address.Replace("http:", scheme + ":", StringComparison.Ordinal);
        await using var node = await TestNode.StartAsync([address], pool => pool with
        {
            HttpVersion = Version.Parse(version),
            Timeouts = new TimeoutOptions { Connect = Step, Response = Step },
        });
        using var client = await node.ConnectAsync();

        await client.SendAsync(request);

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 504 ");
    }

    [TestCase("http", ProbeType.Http)]
    [TestCase("https", ProbeType.Http)]
    [TestCase("hole", ProbeType.Http)]
    [TestCase("hole", ProbeType.Tcp)]
    public async Task Probe_SilentOrOutOfReach_FailsAtItsDeadline(string scheme, ProbeType type)
    {
        await using var silent = new RawServer((peer, _) => peer.ReadToEndAsync());
        using var hole = new BlackHole();
        var address = scheme == "hole" ? hole.Address : silent.Address.Replace("http:", scheme + ":", StringComparison.Ordinal);

        await using var node = await TestNode.StartAsync(
            [address], pool => pool with { HealthCheck = new HealthCheckOptions { Type = type, Timeout = Step } });

        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Eligible.IsEmpty && !node.Pool.Snapshot.Members[0].Health.IsUp, "it is down");
    }

    [Test]
    public async Task Relay_BackendOutOfReach_ClosesTheClientsConnectionAtItsDeadline()
    {
        using var hole = new BlackHole();
        await using var node = await TcpNode.StartAsync(
            [hole.Port], pool => pool with { Timeouts = new TimeoutOptions { Connect = Step } });
        using var client = await node.ConnectAsync();

        (await client.ReadToEndAsync().WaitAsync(TimeLimits.Event)).Should().BeEmpty();
    }

    // docs/deadlines.md must say what is tested here, with the default.
    [Test]
    public void Document_EachRow_HasItsDefault()
    {
        var lines = File.ReadAllLines(Path.Combine(Repository.Root, "docs", "deadlines.md"));

        foreach (var row in Rows)
        {
            lines.Should().Contain(
                line => line.StartsWith($"| {row.Port} | ", StringComparison.Ordinal) && line.Contains(row.What, StringComparison.Ordinal)
                    && line.Contains($"| {Text(row.Default)}", StringComparison.Ordinal),
                $"'{row.Port}' has {row.What} within {Text(row.Default)}");
        }
    }

    private static string Text(TimeSpan time)
    {
        var (minutes, seconds) = ((int)time.TotalMinutes, time.Seconds);
        var parts = new[] { minutes > 0 ? $"{minutes} min" : "", seconds > 0 ? $"{seconds} s" : "" };
        return string.Join(' ', parts.Where(part => part.Length > 0));
    }

    private static LoadBalancerOptions OptionsWith(CertificateOptions certificate)
    {
        var (any, tcp) = (TestNode.Parse("http://127.0.0.1:0"), TestNode.Parse("tcp://127.0.0.1:0"));
        var http = new HttpListenerOptions { Address = any, Pool = "web", KeepAliveTimeout = Step, RequestHeadersTimeout = Step };
        var relay = new TcpListenerOptions { Address = tcp, Pool = "relay" };
        return new LoadBalancerOptions
        {
            Listeners = new Dictionary<string, ListenerOptions>
            {
                ["h1"] = http,
                ["h2"] = http with { HttpVersion = System.Net.HttpVersion.Version20 },
                ["tls"] = http with { Address = TestNode.Parse("https://127.0.0.1:0"), Certificates = [certificate] },
                ["tcp-tls"] = relay with { Certificates = [certificate] },
                ["tcp-proxy"] = relay with { AcceptProxyProtocol = true, TrustedProxies = [System.Net.IPNetwork.Parse("127.0.0.0/8")] },
                ["tasks"] = new TasksListenerOptions { Address = tcp, WorkerAddress = tcp, Pool = "tasks", FirstLineTimeout = Fixed },
                ["store"] = new BrokerListenerOptions
                {
                    Address = TestNode.Parse("tcp://127.0.0.1"),
                    Pool = "store",
                    Ports = BrokerNode.FreePorts,
                },
            },
            Pools = new Dictionary<string, PoolOptions>
            {
                ["web"] = new() { Backends = BackendAt("http://127.0.0.1:1") },
                ["relay"] = new() { Backends = BackendAt("tcp://127.0.0.1:1") },
                ["tasks"] = new(),
                ["store"] = new(),
            },
            Management = new ManagementOptions { Address = any, Token = Token },
        };
    }

    private static Dictionary<string, BackendOptions> BackendAt(string address) =>
        new() { ["b"] = new() { Address = TestNode.Parse(address) } };

    private static Dictionary<string, int> PortsOf(Node node)
    {
        var tasks = node.Listeners.OfType<LoadBalancer.Tasks.TasksListener>().Single();
        var broker = node.Listeners.OfType<LoadBalancer.Broker.BrokerListener>().Single();
        var ports = node.Listeners.ToDictionary(listener => listener.Name, listener => new Uri(listener.Address).Port);
        ports["workers"] = tasks.WorkerAddress.Port;
        ports["management"] = new Uri(node.Management!.Address).Port;
        foreach (var port in typeof(BrokerPorts).GetProperties().Where(property => property.PropertyType == typeof(int)))
        {
            ports[port.Name] = (int)port.GetValue(broker.Ports!)!;
        }
        return ports;
    }

    /// <summary>What must come within a time.</summary>
    /// <param name="Port">The port, as docs/deadlines.md names it.</param>
    /// <param name="What">How the document names what must come.</param>
    /// <param name="Default">How long it may take by default.</param>
    /// <param name="Listener">The listener, or the port of the broker.</param>
    /// <param name="Before">What is sent whole.</param>
    /// <param name="Rest">What is sent in part; it never completes.</param>
    private sealed record Row(string Port, string What, TimeSpan Default, string Listener, string Before, string Rest)
    {
        public bool IsKestrels => Listener is "h1" or "h2" || What == "the rest of the head";
    }

    private sealed class Peer : IDisposable
    {
        private readonly RawPeer _connection;
        private int _dripped;

        private Peer(Row row, string mode, RawPeer connection) =>
            (Row, Mode, _connection, Closed) = (row, mode, connection, connection.ReadToEndAsync());

        public Row Row { get; }

        public string Mode { get; }

        public Task Closed { get; }

        public static async Task<Peer> OpenAsync(Row row, string mode, int port, string sent)
        {
            var connection = await RawPeer.ConnectAsync(port);
            await connection.SendAsync(row.Before + sent);
            return new Peer(row, mode, connection);
        }

        /// <summary>Sends the next byte, but never the last one.</summary>
        public async Task DripAsync()
        {
            if (_dripped < Row.Rest.Length - 1 && !Closed.IsCompleted)
            {
                try
                {
                    await _connection.SendAsync(Row.Rest[_dripped++].ToString(CultureInfo.InvariantCulture));
                }
                catch (System.Net.Sockets.SocketException)
                {
                    // It was closed just now.
                }
            }
        }

        public override string ToString() => $"{Row.Port}, {Row.What}, after '{Row.Before}', {Mode}";

        public void Dispose() => _connection.Dispose();
    }
}
