using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>Who a client of an HTTP listener is, as a proxy in front says before the first byte of HTTP or TLS.</summary>
internal sealed class ProxyHeaderTests
{
    private const string Header = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";
    private const string Get = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
    private const string Signature = "\r\n\r\n\0\r\nQUIT\n";

    private readonly FakeTimeProvider _clock = new();

    [ByteCase(Header, "192.0.2.1", false)]
    [ByteCase(Header, "192.0.2.1", true)]
    [ByteCase("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "2001:db8::1", false)]
    [ByteCase("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1", false)]
    [ByteCase("PROXY UNKNOWN\r\n", "127.0.0.1", false)]
    [ByteCase("PROXY UNKNOWN\r\n", "127.0.0.1", true)]
    [ByteCase(Signature + "\x21\x11\0\x0c\xc0\0\x02\x01\x05\x06\x07\x08\x12\x34\x01\xbb", "192.0.2.1", false)]
    [ByteCase(Signature + "\x21\x11\0\x0c\xc0\0\x02\x01\x05\x06\x07\x08\x12\x34\x01\xbb", "192.0.2.1", true)]
    [ByteCase(Signature + "\x21\x11\0\x10\xc0\0\x02\x01\x05\x06\x07\x08\x12\x34\x01\xbb\x04\0\x01x", "192.0.2.1", true)] // with a TLV
    [ByteCase(Signature + "\x20\0\0\0", "127.0.0.1", true)] // LOCAL
    public async Task Header_Valid_SaysWhoTheClientIs(string header, string client, bool isSlow)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();

        await (isSlow ? peer.SendByteByByteAsync(header + Get) : peer.SendAsync(header + Get));
        var first = await peer.ReadResponseAsync();
        await peer.SendAsync(Get);
        var second = await peer.ReadResponseAsync();

        first.Should().Contain($"X-Forwarded-For: {client}\r\n");
        second.Should().Contain($"X-Forwarded-For: {client}\r\n", "the header is of the whole connection");
    }

    [TestCase(Get, "malformed")]
    [ByteCase("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n" + Get, "malformed")]
    [ByteCase(Signature + "\x31\x11\0\x0c\xc0\0\x02\x01\x05\x06\x07\x08\x12\x34\x01\xbb" + Get, "malformed")]
    [ByteCase(Signature + "\x21\x11\xff\xff\xc0\0\x02\x01\x05\x06\x07\x08\x12\x34\x01\xbb" + Get, "too long")]
    public async Task Header_Malformed_IsClosedCountedAndToldOnce(string text, string _)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);

        for (var i = 0; i < 5; i++)
        {
            using var peer = await node.ConnectAsync();
            await peer.SendAsync(text);
            (await peer.ReadToItsEndAsync()).Text.Should().BeEmpty();
        }

        backend.Accepted.Should().Be(0);
        await Eventually.BeTrueAsync(() => node.Errors.Summary().Total == 5, "all are counted");
        await node.Log.SaysAsync("Warning");
        node.Log.Lines.Should().ContainSingle(line => line.StartsWith("Warning")).Which.Should().Be(
            "Warning: listener 'web': 1 connections were closed because they did not begin with a PROXY header; "
            + "the last came from 127.0.0.1");
    }

    [TestCase("")]
    [TestCase("PROXY TCP4")]
    public async Task Header_ConnectionEndsBefore_IsNoError(string begun)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();

        await peer.SendAsync(begun);
        peer.EndSending();

        (await peer.ReadToItsEndAsync()).Text.Should().BeEmpty();
        node.Errors.Summary().Total.Should().Be(0);
    }

    [TestCase("")]
    [TestCase("PROXY TCP4")]
    public async Task Header_DoesNotComeInTime_IsReset(string begun)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();
        await peer.SendAsync(begun);

        var end = peer.ReadToItsEndAsync();
        await Eventually.BeDoneAsync(end, _clock, TimeSpan.FromSeconds(10), "it was closed");

        (await end).Text.Should().BeEmpty();
    }

    [Test]
    public async Task Header_ClientIsSilentBefore_IsStillNeeded()
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();
        for (var i = 0; i < 9; i++) // so long that an idle connection would be parked
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }

        await peer.SendAsync(Get);

        (await peer.ReadToItsEndAsync()).Text.Should().BeEmpty();
        backend.Accepted.Should().Be(0);
    }

    [Test]
    [Platform("Linux")]
    [System.Runtime.Versioning.SupportedOSPlatform("linux")]
    public async Task Header_ConnectionIsParked_KeepsTheClient()
    {
        Assume.That(TransportChoice.IsEpoll, "connections are parked on event loops only");
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();
        await peer.SendAsync(Header + Get);
        await peer.ReadResponseAsync();
        await Eventually.BeTrueAsync(
            () =>
            {
                _clock.Advance(TimeSpan.FromSeconds(1));
                return EventLoop.Sockets.OfType<ClientSocket>().Any(
                    socket => socket.IsParked && socket.Local is IPEndPoint local && local.Port == node.Port);
            },
            "it is idle");

        await peer.SendAsync(Get);

        (await peer.ReadResponseAsync()).Should().Contain("X-Forwarded-For: 192.0.2.1\r\n");
    }

    [Test]
    public async Task Header_OnAListenerWithTls_ComesBeforeTheHandshake()
    {
        using var certificates = new TestCertificates();
        await using var backend = Showing();
        await using var node = await StartAsync(backend, listener => listener with
        {
            Address = TestNode.Parse("https://127.0.0.1:0"),
            Certificates = [certificates.Issue("it", "it.test")],
        });
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, node.Port);
        await socket.SendAsync(Encoding.ASCII.GetBytes(Header));
        await using var tls = new SslStream(new NetworkStream(socket), false, (_, _, _, _) => true);

        await tls.AuthenticateAsClientAsync("it.test");
        await tls.WriteAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"u8.ToArray());

        (await new StreamReader(tls).ReadToEndAsync()).Should().Contain("X-Forwarded-For: 192.0.2.1\r\n");
    }

    [TestCase("192.0.2.0/24", "203.0.113.7, 192.0.2.1")]
    [TestCase("127.0.0.0/8", "192.0.2.1")]
    public async Task TrustedProxies_Header_ItsAddressIsComparedWithThem(string trusted, string forwardedFor)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend, listener => listener with { TrustedProxies = [IPNetwork.Parse(trusted)] });
        using var peer = await node.ConnectAsync();

        await peer.SendAsync(Header + Get);

        (await peer.ReadResponseAsync()).Should().Contain($"X-Forwarded-For: {forwardedFor}\r\n");
    }

    [TestCase("192.0.2.1", "200")]
    [TestCase("192.0.2.66", "403")]
    public async Task Deny_AddressOfTheHeader_IsTheClients(string client, string status)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend, listener => listener with { Deny = [IPNetwork.Parse("192.0.2.66/32")] });
        using var peer = await node.ConnectAsync();

        await peer.SendAsync($"PROXY TCP4 {client} 198.51.100.2 56324 443\r\n{Get}");

        (await peer.ReadResponseAsync()).Should().StartWith($"HTTP/1.1 {status} ");
    }

    private Task<TestNode> StartAsync(RawServer backend, Func<HttpListenerOptions, HttpListenerOptions>? change = null) =>
        TestNode.StartAsync(
            [backend.Address],
            listener: listener => (change ?? (options => options))(listener with { AcceptProxyProtocol = true }), time: _clock);

    // Answers with the head that it got.
    private static RawServer Showing() => new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Length}\r\n\r\n{head}");
        }
    });
}
