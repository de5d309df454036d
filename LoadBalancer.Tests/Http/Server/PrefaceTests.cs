using System.Net;
using System.Runtime.Versioning;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>A plain listener that speaks HTTP/1.1 and HTTP/2: what a connection speaks is seen by its first bytes.</summary>
internal sealed class PrefaceTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    private const string Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    private static readonly string EmptySettings = Http2Wire.Frame(Http2Wire.Settings, 0, 0, "");

    private readonly FakeTimeProvider _clock = new();

    [TestCase("1.1")]
    [TestCase("2.0")]
    public async Task Request_InEitherVersion_IsServedAsThat(string version)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        for (var i = 0; i < 3; i++)
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/")
            {
                Version = Version.Parse(version),
                VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            };

            using var response = await node.Client.SendAsync(request);

            response.Version.Should().Be(Version.Parse(version));
            (await response.Content.ReadAsStringAsync()).Should().Contain("X-Forwarded-Proto: http\r\n");
        }
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task Http2_BehindAProxyHeader_IsKnownToo(bool isHttp2)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend, listener => listener with { AcceptProxyProtocol = true });
        using var peer = await node.ConnectAsync();

        await peer.SendByteByByteAsync("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n" + (isHttp2 ? Preface + EmptySettings : Get));

        (await peer.ReadAsync(9))[3].Should().Be(isHttp2 ? (char)Http2Wire.Settings : 'P');
    }

    [Test]
    public async Task Http2_PrefaceByteByByte_IsKnown()
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();

        await peer.SendByteByByteAsync(Preface + EmptySettings);

        (await peer.ReadAsync(9))[3].Should().Be((char)Http2Wire.Settings);
    }

    [TestCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")] // P too
    [TestCase("PRI / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [TestCase(Get)]
    public async Task Http1_ByteByByte_IsKnown(string request)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();

        await peer.SendByteByByteAsync(request);

        (await peer.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200 ");
    }

    [Test]
    public async Task Http1_NearlyAPreface_IsNotServed()
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")).Should().EndWith("\0\0\0\u000d", "that is GOAWAY");
        backend.Accepted.Should().Be(0);
    }

    [TestCase("")]
    [TestCase("P")]
    [TestCase("PRI * HTTP/2.0\r\n")]
    public async Task Connection_ItsBytesDoNotDecideInTime_IsClosed(string begun)
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();
        await peer.SendAsync(begun);

        var end = peer.ReadToItsEndAsync();
        await Eventually.BeDoneAsync(end, _clock, TimeSpan.FromSeconds(130), "it was closed");

        (await end).Text.Should().BeEmpty();
    }

    [Test]
    public async Task Connection_NodeStopsBeforeTheFirstByte_IsClosedAtOnce()
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();

        await node.StopAsync();

        (await peer.ReadToItsEndAsync()).Text.Should().BeEmpty();
    }

    [Test]
    public async Task Http2_PrefaceAfterALongSilence_IsKnown()
    {
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var peer = await node.ConnectAsync();
        await SilenceAsync();

        await peer.SendAsync(Preface + EmptySettings);

        (await peer.ReadAsync(9))[3].Should().Be((char)Http2Wire.Settings);
    }

    [TestCase(false)]
    [TestCase(true)]
    [Platform("Linux")]
    [SupportedOSPlatform("linux")]
    public async Task Connection_IdleAfterARequest_IsParkedWithHttp11Only(bool isHttp2)
    {
        Assume.That(TransportChoice.IsEpoll, "connections are parked on event loops only");
        await using var backend = Showing();
        await using var node = await StartAsync(backend);
        using var http1 = isHttp2 ? null : await node.ConnectAsync();
        using var http2 = isHttp2 ? await Http2Peer.ConnectAsync(node.Port) : null;
        await AskAsync(1);

        await SilenceAsync();
        if (!isHttp2)
        {
            await Eventually.BeTrueAsync(
                () =>
                {
                    _clock.Advance(TimeSpan.FromSeconds(1));
                    return Parked(node);
                },
                "it is idle");
        }

        Parked(node).Should().Be(!isHttp2);
        await AskAsync(3);

        async Task AskAsync(int stream)
        {
            if (http1 is not null)
            {
                await http1.SendAsync(Get);
                (await http1.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200 ");
                return;
            }
            await http2!.SendRequestAsync(stream, (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"));
            (await http2.ReadFateAsync(stream)).Should().Be("200");
        }
    }

    [SupportedOSPlatform("linux")]
    private static bool Parked(TestNode node) => EventLoop.Sockets.OfType<ClientSocket>().Any(
        socket => socket.IsParked && socket.Local is IPEndPoint local && local.Port == node.Port);

    // So long that an idle connection would be parked.
    private async Task SilenceAsync()
    {
        for (var i = 0; i < 9; i++)
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Yield();
        }
    }

    private Task<TestNode> StartAsync(RawServer backend, Func<HttpListenerOptions, HttpListenerOptions>? change = null) =>
        TestNode.StartAsync(
            [backend.Address],
            listener: listener => (change ?? (options => options))(listener with { HttpVersion = HttpVersions.Both }), time: _clock);

    // Answers with the head that it got.
    private static RawServer Showing() => new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Length}\r\n\r\n{head}");
        }
    });
}
