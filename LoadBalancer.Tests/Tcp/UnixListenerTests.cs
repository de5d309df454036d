using System.Net;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Tcp;

/// <summary>Tcp listeners at Unix sockets.</summary>
internal sealed class UnixListenerTests
{
    private const string LocalHeader = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"; // version 2, LOCAL: no addresses

    private TemporaryDirectory _directory = null!;
    private string _path = "";

    [SetUp]
    public void SetUp()
    {
        _directory = new TemporaryDirectory();
        _path = _directory.File("relay.sock");
    }

    [TearDown]
    public void TearDown() => _directory.Dispose();

    [Test]
    public async Task Connect_ThroughUnixSocket_IsRelayed()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend.Port);
        using var client = await RawPeer.ConnectAsync(_path);

        await client.SendAsync(new string('x', 300_000));
        client.EndSending();

        (await client.ReadToItsEndAsync()).Text.Should().HaveLength(300_000);
        await node.QuietAsync();
        node.Listener.Address.Should().Be($"unix:{_path}");
    }

    [Test]
    public async Task Connect_PoolSendsProxyHeaders_NamesNoClient()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend.Port, sendsHeaders: true);
        using var client = await RawPeer.ConnectAsync(_path);

        await client.SendAsync("hello");
        client.EndSending();

        (await client.ReadToItsEndAsync()).Text.Should().Be(LocalHeader + "hello");
    }

    [Test]
    public async Task Connect_TrustedProxyNamesItsClient_IsPassedOn()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend.Port, sendsHeaders: true, acceptsHeaders: true);
        using var client = await RawPeer.ConnectAsync(_path);

        await client.SendAsync("PROXY TCP4 10.0.0.9 10.0.0.1 5000 80\r\nhello");
        client.EndSending();

        (await client.ReadToItsEndAsync()).Text.Should().Be(
            System.Text.Encoding.Latin1.GetString(
                ProxyHeader.Write(new IPEndPoint(IPAddress.Parse("10.0.0.9"), 5000), new IPEndPoint(IPAddress.Parse("10.0.0.1"), 80)))
            + "hello");
    }

    [Test]
    public async Task Connect_TrustedProxySendsNoHeader_IsLoggedByName()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend.Port, acceptsHeaders: true);
        using var client = await RawPeer.ConnectAsync(_path);

        await client.SendAsync("something else entirely");

        (await client.ReadToItsEndAsync()).Text.Should().BeEmpty();
        await node.Log.SaysAsync("the last came from unix:");
    }

    [Test]
    public async Task Connect_ClientIsGone_EndsTheBackendsConnection()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await StartAsync(backend.Port);
        using (var client = await RawPeer.ConnectAsync(_path))
        {
            await client.SendAsync("x");
            (await client.ReadUntilAsync("x")).Should().NotBeNull();
        }

        await node.QuietAsync();
        await Eventually.BeTrueAsync(() => backend.Open == 0, "the end is passed on");
    }

    private Task<TcpNode> StartAsync(int backend, bool sendsHeaders = false, bool acceptsHeaders = false) => TcpNode.StartAsync(
        [backend],
        pool => pool with { SendProxyProtocol = sendsHeaders },
        listener => listener with
        {
            Address = TestNode.Parse($"unix:{_path}"),
            AcceptProxyProtocol = acceptsHeaders,
            TrustedProxies = acceptsHeaders ? [UnixPeers.Network] : [],
        });
}
