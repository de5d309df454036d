using System.Net;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Tcp;

/// <summary>Who a client is, as proxies in front say and backends are told.</summary>
internal sealed class ProxyProtocolTests
{
    private static readonly Func<TcpListenerOptions, TcpListenerOptions> Accepting = listener =>
        listener with { AcceptProxyProtocol = true, TrustedProxies = [IPNetwork.Parse("127.0.0.0/8")] };

    [Test]
    public async Task Send_Always_IsBeforeTheFirstByte()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port], pool => pool with { SendProxyProtocol = true });
        using var client = await node.ConnectAsync();
        await client.SendAsync("hello");

        var text = await client.ReadAsync(28 + 5);

        text[..12].Should().Be("\r\n\r\n\0\r\nQUIT\n");
        ProxyHeader.TryParse(Encoding.Latin1.GetBytes(text[..28]), out var header).Should().BeTrue();
        header.Should().Be(new ProxyHeader(client.Local, new IPEndPoint(IPAddress.Loopback, node.Port)));
        text[28..].Should().Be("hello");
        node.Pool.Snapshot.Members[0].Connections.BytesIn.Should().Be(5, "the header is none of the client's");
    }

    [TestCase("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", false)]
    [TestCase("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", true)]
    public async Task Accept_Trusted_ItsWordIsPassedOn(string header, bool isSlow)
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port], pool => pool with { SendProxyProtocol = true }, Accepting);
        using var client = await node.ConnectAsync();

        await (isSlow ? client.SendByteByByteAsync(header + "hello") : client.SendAsync(header + "hello"));

        var text = await client.ReadAsync(28 + 5);
        ProxyHeader.TryParse(Encoding.Latin1.GetBytes(text[..28]), out var parsed).Should().BeTrue();
        parsed.Should().Be(new ProxyHeader(IPEndPoint.Parse("192.0.2.1:56324"), IPEndPoint.Parse("198.51.100.2:443")));
        text[28..].Should().Be("hello", "nothing of it is lost, and nothing of the header left");
    }

    [Test]
    public async Task Accept_ProxySpeaksForItself_ItsOwnAddressesCount()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port], pool => pool with { SendProxyProtocol = true }, Accepting);
        using var client = await node.ConnectAsync();

        await client.SendAsync("PROXY UNKNOWN\r\nhello");

        ProxyHeader.TryParse(Encoding.Latin1.GetBytes((await client.ReadAsync(28 + 5))[..28]), out var parsed).Should().BeTrue();
        parsed.Source.Should().Be(client.Local);
    }

    [Test]
    public async Task Accept_NotTrusted_BytesPassAsTheyAre()
    {
        await using var backend = RawServer.Echoing();
        await using var node =
            await TcpNode.StartAsync([backend.Port],
            listener: listener => Accepting(listener) with { TrustedProxies = [IPNetwork.Parse("192.0.2.0/24")] });
        using var client = await node.ConnectAsync();

        await client.SendAsync("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nhello");

        (await client.ReadAsync(50)).Should().Be("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nhello");
    }

    [Test]
    public async Task Accept_Malformed_IsClosedCountedAndToldOnce()
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port], listener: Accepting, time: clock);

        for (var i = 0; i < 5; i++)
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync("hello, who is there?");
            (await client.ReadToItsEndAsync()).Text.Should().BeEmpty();
        }

        await node.QuietAsync();
        backend.Accepted.Should().Be(0);
        node.Pool.Statistics.Connections.Ended(ConnectionEnd.Rejected).Should().Be(5);
        await node.Log.SaysAsync("Warning");
        node.Log.Lines.Should().ContainSingle(line => line.StartsWith("Warning")).Which.Should()
            .Be("Warning: listener 'chat': 1 connections of trusted proxies were closed because they did not begin with a PROXY header; " +
                "the last came from 127.0.0.1");
    }

    [Test]
    public async Task Accept_HeaderDoesNotCome_IsClosedInTime()
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port], listener: Accepting, time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("PROXY TCP4");
        await Eventually.BeTrueAsync(() => node.Listener.Connections == 1, "it is there");

        await node.QuietAfterAsync(clock, TimeSpan.FromSeconds(10));

        (await client.ReadToItsEndAsync()).Text.Should().BeEmpty();
        node.Ended(ConnectionEnd.Rejected).Should().Be(1);
    }

    [Test]
    public async Task IdleTimeout_ClientHasWaitedForABackend_CountsFromThenOn()
    {
        const string Header = "PROXY UNKNOWN\r\n";
        var (clock, second) = (new FakeTimeProvider(), TimeSpan.FromSeconds(1));
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync(
            [backend.Port],
            pool => pool with
            {
                Backends = pool.Backends.ToDictionary(entry => entry.Key, entry => entry.Value with { MaxInFlight = 1 }),
                Queue = new() { Limit = 1, Timeout = TimeSpan.FromDays(1) }
            },
            listener => Accepting(listener) with { IdleTimeout = 10 * second },
            clock);
        using var busy = await node.ConnectAsync();
        await busy.SendAsync(Header + "x");
        await busy.ReadAsync(1);
        using var patient = await node.ConnectAsync();
        await Eventually.BeTrueAsync(() => node.Listener.Connections == 2, "it is there");
        clock.Advance(second);
        await patient.SendAsync(Header);
        await Eventually.BeTrueAsync(() => node.Pool.RequestQueue.Count == 1, "it waits");
        for (var i = 0; i < 12; i++)
        {
            await busy.SendAsync("x");
            await busy.ReadAsync(1);
            clock.Advance(second);
        }

        busy.EndSending();
        await Eventually.BeTrueAsync(() => node.Listener.Connections == 1 && backend.Accepted == 2, "it is its turn");
        clock.Advance(2 * second);

        await patient.SendAsync("hello");
        (await patient.ReadAsync(5)).Should().Be("hello");
    }

    [Test]
    public async Task Accept_ProxyOnlyLooksWhetherWeAreThere_IsNoFault()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port], listener: Accepting);
        using (var client = await node.ConnectAsync())
        {
            await Eventually.BeTrueAsync(() => node.Listener.Connections == 1, "it is there");
        }

        await node.QuietAsync();
        (backend.Accepted, node.Log.Lines.Count(line => line.StartsWith("Warning"))).Should().Be((0, 0));
    }

    [Test]
    public async Task IpHash_SameClientBehindAnyProxy_ComesToTheSameBackend()
    {
        await using var first = Naming("1");
        await using var second = Naming("2");
        await using var node =
            await TcpNode.StartAsync([first.Port, second.Port], pool => pool with { Policy = PolicyName.IpHash }, Accepting);
        var seen = new HashSet<string>();
        for (var i = 0; i < 16; i++)
        {
            var own = new HashSet<string>();
            for (var again = 0; again < 3; again++)
            {
                // A lease ends a moment after its connection, and a backend that has more than its share is passed over.
                await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members.All(member => member.InFlight == 0), "all have ended");
                using var client = await node.ConnectAsync();
                await client.SendAsync($"PROXY TCP4 192.0.2.{i} 198.51.100.2 {1000 + again} 443\r\n");
                own.Add((await client.ReadToItsEndAsync()).Text);
            }
            own.Should().ContainSingle();
            seen.UnionWith(own);
        }

        seen.Should().BeEquivalentTo("1", "2");
    }

    private static RawServer Naming(string name) => new((peer, _) => peer.SendAsync(name));
}
