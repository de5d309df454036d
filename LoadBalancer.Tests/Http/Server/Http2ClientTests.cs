using System.Net;
using System.Net.WebSockets;
using System.Text;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>HTTP/2 from clients, towards backends that speak HTTP/1.1.</summary>
internal sealed class Http2ClientTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly (string, string)[] Get =
        [(":method", "GET"), (":scheme", "http"), (":authority", "shop.example"), (":path", "/a%2Fb/../c//d?x=%7e&&y")];

    [Test]
    public async Task Request_Fields_BecomeThoseOfHttp11()
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Ok);
        });
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, [.. Get, ("cookie", "a=1"), ("x-high", "\u00e9"), ("cookie", "b=2"), ("te", "trailers"),
            ("via", "1.1 other")]);

        (await client.ReadFrameAsync(Http2Wire.Data))!.Value.Should().Be((1, "ok"));
        head.Should().StartWith("GET /a%2Fb/../c//d?x=%7e&&y HTTP/1.1\r\nHost: shop.example\r\n")
            .And.MatchRegex("(?i)\r\ncookie: a=1; b=2\r\n").And.MatchRegex("(?i)\r\nx-high: \u00e9\r\n")
            .And.Contain("Connection: TE\r\nTE: trailers\r\n").And.Contain("Via: 1.1 other\r\n")
            .And.NotContain(":method");
    }

    [TestCase("x-it", "a\r\nX-Injected: 1")]
    [TestCase("x-it", "a\nX-Injected: 1")]
    [TestCase("x-it", "a\0b")]
    [TestCase("x-it: 1\r\nx-injected", "a")]
    [TestCase("X-Upper", "a")]
    [TestCase("connection", "close")]
    [TestCase("transfer-encoding", "chunked")]
    [TestCase(":path", "/second")]
    public async Task Request_FieldThatWouldInject_IsRefusedAndReachesNobody(string name, string value)
    {
        await using var backend = new NotingServer();
        await using var node = await StartAsync(backend.Server);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, [.. Get, (name, value)]);

        await ShouldBeRefusedAsync(client);
        backend.Received.Should().BeEmpty();
    }

    [TestCase(":path", "/a b")]
    [TestCase(":path", "/a\r\nX-Injected: 1")]
    [TestCase(":path", "nonsense")]
    [TestCase(":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET")]
    [TestCase(":authority", "a\r\nX-Injected: 1")]
    [TestCase(":authority", "a/b")]
    public async Task Request_PseudoFieldThatWouldInject_IsRefusedAndReachesNobody(string name, string value)
    {
        await using var backend = new NotingServer();
        await using var node = await StartAsync(backend.Server);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, [.. Get.Select(field => field.Item1 == name ? (name, value) : field)]);

        await ShouldBeRefusedAsync(client);
        backend.Received.Should().BeEmpty();
    }

    [Test]
    public async Task Response_BrokenOff_ResetsTheStream()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        });
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, Get);

        (await client.ReadFrameAsync(Http2Wire.RstStream))!.Value.Stream.Should().Be(1);
    }

    [Test]
    public async Task Response_Trailers_ReachTheClient()
    {
        await using var backend =
            RawServer.Answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n");
        await using var node = await StartAsync(backend);
        using var client = Client(node);

        using var response = await client.GetAsync(new Uri("/", UriKind.Relative));

        (await response.Content.ReadAsStringAsync()).Should().Be("hello");
        response.TrailingHeaders.GetValues("X-Sum").Should().Equal("42");
        response.Headers.TransferEncodingChunked.Should().NotBe(true);
    }

    [Test]
    public async Task Request_BodyAndTrailers_AreChunkedTowardsTheBackend()
    {
        var seen = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            seen = await peer.ReadHeadAsync() + await peer.ReadHeadAsync();
            await peer.SendAsync(Ok);
        });
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(Http2Wire.Headers, 4, 1,
            "\0\u0007:method\u0004POST\0\u0007:scheme\u0004http\0\u000a:authority\u0001a\0\u0005:path\u0001/");
        await client.SendFrameAsync(Http2Wire.Data, 0, 1, "hello");
        await client.SendFrameAsync(Http2Wire.Headers, 5, 1, "\0\u0005x-sum\u000242");

        (await client.ReadFrameAsync(Http2Wire.Data))!.Value.Payload.Should().Be("ok");
        seen.Should().StartWith("POST / HTTP/1.1\r\nHost: a\r\n").And.Contain("Transfer-Encoding: chunked\r\n")
            .And.MatchRegex("(?i)\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n$");
    }

    [ByteCase("\0\u0003x-t\u0019v\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")]
    [ByteCase("\0\u0003x-t\u0003a\nb")]
    [ByteCase("\0\u0003x-t\u0003a\u0001b")]
    public async Task Request_TrailerThatWouldInject_IsRefusedAndNeverCompleted(string trailers)
    {
        var seen = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            seen = await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(Http2Wire.Headers, 4, 1,
            "\0\u0007:method\u0004POST\0\u0007:scheme\u0004http\0\u000a:authority\u0001a\0\u0005:path\u0001/");
        await client.SendFrameAsync(Http2Wire.Data, 0, 1, "hello");
        await client.SendFrameAsync(Http2Wire.Headers, 5, 1, trailers);

        await ShouldBeRefusedAsync(client);
        await Eventually.BeTrueAsync(() =>
            node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "the lease is given back, without blame");
        seen.Should().NotContain("x-t").And.NotContain("0\r\n");
    }

    [Test]
    public async Task WebSocket_WithALength_IsRefused()
    {
        await using var backend = new NotingServer();
        await using var node = await StartAsync(backend.Server);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(
            Http2Wire.Headers, 4, 1,
            "\0\u0007:method\u0007CONNECT\0\u0009:protocol\u0009websocket" +
            "\0\u0007:scheme\u0004http\0\u000a:authority\u0001a\0\u0005:path\u0001/\0\u000econtent-length\u000240");

        await ShouldBeRefusedAsync(client);
        backend.Received.Should().BeEmpty();
    }

    [Test]
    public async Task Request_ClientResetsTheStream_EndsTheBackendsWork()
    {
        var ended = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.ReadToEndAsync();
            ended.SetResult();
        });
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);
        await client.SendRequestAsync(1, Get);
        await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the request is under way");

        await client.SendFrameAsync(Http2Wire.RstStream, 0, 1, "\0\0\0\u0008");

        await ended.Task;
        await Eventually.BeTrueAsync(() =>
            node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "the lease is given back, without blame");
    }

    [Test]
    public async Task Request_StreamsResetByTheThousand_HurtNobodyElse()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            if (await peer.ReadHeadAsync() is { } head && head.StartsWith("GET /fine ", StringComparison.Ordinal))
            {
                await peer.SendAsync(Ok);
            }
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var flood = await Http2Peer.ConnectAsync(node.Port);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        try
        {
            for (var stream = 1; stream < 4000; stream += 2)
            {
                await flood.SendRequestAsync(stream, Get);
                await flood.SendFrameAsync(Http2Wire.RstStream, 0, stream, "\0\0\0\u0008");
            }
        }
        catch (IOException)
        {
            // Kestrel may have had enough (ENHANCE_YOUR_CALM); that depends on who is faster.
        }
        await client.SendRequestAsync(1, [.. Get.SkipLast(1), (":path", "/fine")]);

        (await client.ReadFrameAsync(Http2Wire.Data))!.Value.Should().Be((1, "ok"));
        await Eventually.BeTrueAsync(() =>
            node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "every lease is given back, without blame");
    }

    [Test]
    public async Task Request_HeadContinuedWithoutEnd_EndsTheConnectionAndReachesNobody()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(Http2Wire.Headers, 1, 1,
            "\0\u0007:method\u0003GET\0\u0007:scheme\u0004http\0\u000a:authority\u0001a\0\u0005:path\u0001/");
        // The last one passes Kestrel's limit, which follows HeaderLimits (with their defaults it is between 113 and 129 KB). So nothing is
        // left unread, which would reset the connection; with one less, only the time-out of 30 s would end it.
        for (var i = 0; i < 8; i++)
        {
            await client.SendFrameAsync(Http2Wire.Continuation, 0, 1,
                string.Concat(Enumerable.Repeat("\0\u0001x\u0064" + new string('y', 100), 155)));
        }

        (await client.ReadFrameAsync(Http2Wire.GoAway)).Should().NotBeNull();
        backend.Accepted.Should().Be(0);
    }

    [TestCase(5, 6, 1)]
    [TestCase(5, 3, 2)]
    [TestCase(5, 1, 6)]
    [TestCase(100_000, 16_000, 7)]
    public async Task MaxRequestBodySize_ExceededWithoutAnAnnouncedLength_Is413(int limit, int size, int pieces)
    {
        await using var backend = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await StartAsync(backend, limit);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendHeadAsync(0, 1, [(":method", "POST"), .. Get[1..]]);
        for (var i = 0; i < pieces; i++)
        {
            await client.SendFrameAsync(Http2Wire.Data, 0, 1, new string('x', size));
        }

        (await client.ReadFateAsync(1)).Should().Be("413");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0, "a client's fault never counts against a backend");
        await client.SendRequestAsync(3, Get);
        await Eventually.BeTrueAsync(() => backend.Accepted == 2, "other streams go on");
    }

    [Test]
    public async Task MaxRequestBodySize_Reached_Passes()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.ReadUntilAsync("0\r\n\r\n");
            await peer.SendAsync(Ok);
        });
        await using var node = await StartAsync(backend, limit: 6);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendHeadAsync(0, 1, [(":method", "POST"), .. Get[1..]]);
        await client.SendFrameAsync(Http2Wire.Data, 0, 1, "abc");
        await client.SendFrameAsync(Http2Wire.Data, Http2Wire.EndStream, 1, "def");

        (await client.ReadFateAsync(1)).Should().Be("200");
    }

    [Test]
    public async Task Stop_RequestInFlight_SendsGoAwayAndFinishesIt()
    {
        var answer = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await answer.Task;
            await peer.SendAsync(Ok);
        });
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);
        await client.SendRequestAsync(1, Get);
        await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the request is under way");

        var stopping = node.StopAsync();
        (await client.ReadFrameAsync(Http2Wire.GoAway)).Should().NotBeNull();
        answer.SetResult();

        (await client.ReadFrameAsync(Http2Wire.Data))!.Value.Should().Be((1, "ok"));
        client.Dispose(); // as who was told to go away does
        await stopping;
    }

    [Test]
    public async Task WebSocket_OverHttp2_IsAnUpgradeTowardsTheBackend()
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
                "x\r\n\r\n\u0081\u0002hi");
            await peer.ReadAsync(8);
            await peer.SendAsync("\u0088\u0000");
        });
        await using var node = await StartAsync(backend);
        using var handler = new HttpMessageInvoker(TestNode.NewHandler());
        using var socket = new ClientWebSocket
        {
            Options =
            { HttpVersion = HttpVersion.Version20, HttpVersionPolicy = HttpVersionPolicy.RequestVersionExact }
        };

        await socket.ConnectAsync(new Uri($"ws://127.0.0.1:{node.Port}/chat"), handler, CancellationToken.None);
        var buffer = new byte[16];
        var received = await socket.ReceiveAsync(buffer, CancellationToken.None);
        await socket.SendAsync("yo"u8.ToArray(), WebSocketMessageType.Text, true, CancellationToken.None);

        Encoding.ASCII.GetString(buffer, 0, received.Count).Should().Be("hi");
        (await socket.ReceiveAsync(buffer, CancellationToken.None)).MessageType.Should().Be(WebSocketMessageType.Close);
        head.Should().StartWith("GET /chat HTTP/1.1\r\n").And.Contain("Connection: Upgrade\r\nUpgrade: websocket\r\n")
            .And.MatchRegex("\r\nSec-WebSocket-Key: [A-Za-z0-9+/]{22}==\r\n")
            .And.NotContain("Transfer-Encoding");
    }

    [Test]
    public async Task WebSocket_BackendIgnoresIt_Is502()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend);
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(Http2Wire.Headers, 4, 1,
            "\0\u0007:method\u0007CONNECT\0\u0009:protocol\u0009websocket" +
            "\0\u0007:scheme\u0004http\0\u000a:authority\u0001a\0\u0005:path\u0001/");

        (await client.ReadFrameAsync(Http2Wire.Data))!.Value.Payload.Should().Be("The backend does not accept this WebSocket\n");
    }

    private static Task<TestNode> StartAsync(RawServer backend, long? limit = null) => TestNode.StartAsync(
        [backend.Address],
        listener: listener => listener with
        {
            HttpVersion = HttpVersion.Version20,
            MaxRequestBodySize = limit ?? listener.MaxRequestBodySize,
        });

    private static HttpClient Client(TestNode node) =>
        new(TestNode.NewHandler())
        {
            BaseAddress = node.Client.BaseAddress,
            DefaultRequestVersion = HttpVersion.Version20,
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact
        };

    // By an answer of 400, by the end of the stream, or by that of the connection.
    private static async Task ShouldBeRefusedAsync(Http2Peer client)
    {
        var refusal = await client.ReadFrameAsync(Http2Wire.Data, Http2Wire.RstStream, Http2Wire.GoAway);
        refusal?.Payload.Should().NotBe("ok");
    }

    /// <summary>Notes whatever it is sent, and answers ok to it.</summary>
    private sealed class NotingServer : IAsyncDisposable
    {
        public NotingServer() => Server = new RawServer(async (peer, _) =>
        {
            Received += await peer.ReadAsync(1);
            await peer.SendAsync(Ok);
        });

        public RawServer Server { get; }

        public string Received { get; private set; } = "";

        public ValueTask DisposeAsync() => Server.DisposeAsync();
    }
}
