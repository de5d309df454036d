using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>Http listeners at Unix sockets, whose clients have no IP address.</summary>
internal sealed class UnixListenerTests
{
    private TemporaryDirectory _directory = null!;
    private RawServer _backend = null!;
    private List<string> _heads = null!;

    [SetUp]
    public void SetUp()
    {
        (_directory, _heads) = (new TemporaryDirectory(), []);
        _backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is { } head)
            {
                _heads.Add(head);
                await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
    }

    [TearDown]
    public async Task TearDownAsync()
    {
        await _backend.DisposeAsync();
        _directory.Dispose();
    }

    [Test]
    public async Task Get_ThroughUnixSocket_IsForwarded()
    {
        await using var node = await StartAsync();

        (await GetAsync("X-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\n")).Should().StartWith("HTTP/1.1 200 ").And.EndWith("ok");

        _heads[0].Should().Contain("\r\nX-Forwarded-For: unix:\r\n").And.Contain("\r\nX-Forwarded-Proto: http\r\n")
            .And.NotContain("9.9.9.9");
        await node.Log.SaysAsync($"listener 'local' listens on unix:{_directory.File("lb.sock")}");
    }

    [Test]
    public async Task Get_TrustedPeerNamesItsClient_IsThatClients()
    {
        await using var node = await StartAsync(listener => listener with { TrustedProxies = [UnixPeers.Network] });

        await GetAsync("X-Forwarded-For: 10.0.0.7\r\nX-Forwarded-Proto: https\r\n");
        await GetAsync("");

        _heads[0].Should().Contain("\r\nX-Forwarded-For: 10.0.0.7\r\n").And.Contain("\r\nX-Forwarded-Proto: https\r\n");
        _heads[1].Should().Contain("\r\nX-Forwarded-For: unix:\r\n").And.Contain("\r\nX-Forwarded-Proto: http\r\n");
        var clients = (await LogAsync(2)).Select(line => line.Split(' ')[0]);
        clients.Should().BeEquivalentTo("10.0.0.7", "unix:"); // In any order: each core writes its own lines.
    }

    [TestCase("Allow", "10.0.0.0/8", "403")]
    [TestCase("Allow", "0.0.0.0/0", "403")]
    [TestCase("Allow", "unix:", "200")]
    [TestCase("Deny", "10.0.0.0/8", "200")]
    [TestCase("Deny", "unix:", "403")]
    public async Task Get_AddressList_KnowsUnixSocketsByName(string list, string entry, string status)
    {
        IReadOnlyList<IPNetwork> networks = [entry == "unix:" ? UnixPeers.Network : IPNetwork.Parse(entry)];
        await using var node = await StartAsync(
            listener => list == "Allow" ? listener with { Allow = networks } : listener with { Deny = networks });

        (await GetAsync("")).Should().StartWith($"HTTP/1.1 {status} ");
    }

    [Test]
    public async Task Get_PeerFromTheNetwork_IsNoUnixSocket()
    {
        await using var node = await TestNode.StartAsync([_backend.Address], listener: listener => listener with
        {
            Allow = [UnixPeers.Network, IPNetwork.Parse("10.0.0.0/8")],
        });

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.Forbidden);
    }

    [Test]
    public async Task Get_RoutesClients_KnowUnixSocketsByName()
    {
        await using var node = await StartAsync(listener => listener with
        {
            Routes = [new HttpRouteOptions { Clients = [UnixPeers.Network], Respond = new RespondOptions { Status = 418 } }],
        });

        (await GetAsync("")).Should().StartWith("HTTP/1.1 418 ");
    }

    [Test]
    public async Task Get_PolicyByClient_Serves()
    {
        await using var node = await StartAsync(pool: pool => pool with { Policy = PolicyName.IpHash });

        (await GetAsync("")).Should().StartWith("HTTP/1.1 200 ");
    }

    [Test]
    public async Task Get_BadRequest_IsLogged()
    {
        await using var node = await StartAsync();

        (await RawPeer.ExchangeAsync(_directory.File("lb.sock"), "no request\r\n\r\n")).Should().StartWith("HTTP/1.1 400 ");

        (await LogAsync(1)).Should().ContainSingle().Which.Should().StartWith("unix: - - [");
    }

    [Test]
    public async Task Get_ProxyHeaderBeforeIt_SaysWhoTheClientIs()
    {
        await using var node = await StartAsync(listener => listener with { AcceptProxyProtocol = true });

        await RawPeer.ExchangeAsync(
            _directory.File("lb.sock"),
            "PROXY TCP4 10.0.0.9 10.0.0.1 5000 80\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        await RawPeer.ExchangeAsync(
            _directory.File("lb.sock"), "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

        _heads[0].Should().Contain("\r\nX-Forwarded-For: 10.0.0.9\r\n");
        _heads[1].Should().Contain("\r\nX-Forwarded-For: unix:\r\n");
    }

    [Test]
    public async Task Get_MoreAtOnceThanMaxConnections_ClosesTheOthers()
    {
        await using var node = await StartAsync(listener => listener with { MaxConnections = 1 });
        using var first = await RawPeer.ConnectAsync(_directory.File("lb.sock"));
        await first.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await first.ReadResponseAsync()).Should().Contain("200 OK");

        using var second = await RawPeer.ConnectAsync(_directory.File("lb.sock"));

        (await second.ReadToItsEndAsync()).Text.Should().BeEmpty();
    }

    private Task<string> GetAsync(string fields) => RawPeer.ExchangeAsync(
        _directory.File("lb.sock"), $"GET / HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");

    private async Task<string[]> LogAsync(int lines)
    {
        var file = _directory.File("access.log");
        await Eventually.BeTrueAsync(() => File.Exists(file) && File.ReadAllLines(file).Length >= lines, "it is written");
        return await File.ReadAllLinesAsync(file);
    }

    private Task<TestNode> StartAsync(
        Func<HttpListenerOptions, HttpListenerOptions>? listener = null, Func<PoolOptions, PoolOptions>? pool = null)
    {
        var options = new HttpListenerOptions
        {
            Address = TestNode.Parse($"unix:{_directory.File("lb.sock")}"),
            Pool = "web",
            AccessLog = _directory.File("access.log"),
        };
        return TestNode.StartAsync(
            [_backend.Address], pool, otherListeners: new() { ["local"] = listener?.Invoke(options) ?? options });
    }
}
