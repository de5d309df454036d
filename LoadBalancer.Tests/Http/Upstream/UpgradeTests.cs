using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Upstream;

/// <summary>Connections that change to another protocol, and are tunnels from then on.</summary>
internal sealed class UpgradeTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private const string WebSocketRequest =
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
    private const string Switching =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n" +
            "\r\n";

    [Test]
    public async Task Upgrade_Accepted_IsARawTunnel()
    {
        var head = "";
        var ended = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Switching + "first");
            for (var i = 0; i < 2; i++)
            {
                await peer.SendAsync("echo " + await peer.ReadUntilAsync("\n"));
            }
            await peer.ReadToEndAsync();
            ended.SetResult();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync(WebSocketRequest + "\u0000\u00ffhello\n");

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101 Switching Protocols\r\n").And.Contain("Upgrade: websocket\r\n")
            .And.Contain("Connection: Upgrade\r\n").And.Contain("Sec-WebSocket-Accept: y\r\n").And.NotContain("X-Hop");
        (await client.ReadUntilAsync("\n")).Should().Be("firstecho \u0000\u00ffhello\n");
        await client.SendAsync("again\n");
        (await client.ReadUntilAsync("\n")).Should().Be("echo again\n");
        head.Should().Contain("Connection: Upgrade\r\nUpgrade: websocket\r\n").And.Contain("Sec-WebSocket-Key: x");
        node.Pool.Snapshot.Members[0].InFlight.Should().Be(1);

        client.Dispose();
        await ended.Task;
        await Eventually.BeTrueAsync(() =>
            node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "the tunnel ends with its client");
    }

    [Test]
    public async Task Upgrade_BackendCloses_TheClientIsClosedToo()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(Switching + "bye");
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.ExchangeAsync(WebSocketRequest)).Should().EndWith("\r\n\r\nbye");
    }

    [Test]
    public async Task Upgrade_Refused_IsAnOrdinaryAnswer()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync(WebSocketRequest);

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200 OK").And.EndWith("ok");
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200 OK").And.EndWith("ok");
        backend.Accepted.Should().Be(1);
    }

    [Test]
    public async Task Upgrade_Unasked_Is502()
    {
        await using var backend = RawServer.Answering(Switching);
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).Should().StartWith("HTTP/1.1 502");
    }

    [Test]
    public async Task Upgrade_OfferOfH2c_IsNotPassedOn()
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        var answer = await node.ExchangeAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");

        answer.Should().StartWith("HTTP/1.1 200 OK");
        head.Should().StartWith("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For:").And.NotContainAny("Upgrade", "HTTP2-Settings");
    }

    [Test]
    public async Task Upgrade_NothingMoves_EndsAtTheIdleTimeOut()
    {
        var clock = new FakeTimeProvider();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(Switching);
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync(WebSocketRequest);
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101");

        var end = client.ReadToEndAsync();
        await Eventually.BeDoneAsync(end, clock, TimeSpan.FromSeconds(10), "the tunnel is closed");

        (await end).Should().BeEmpty();
    }

    [Test]
    public async Task Upgrade_RealWebSocket_EchoesAndClosesBothWays([Values] bool backendCloses)
    {
        var closed = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            var key = Regex.Match((await peer.ReadHeadAsync())!, "Sec-WebSocket-Key: (.*)\r\n").Groups[1].Value;
#pragma warning disable CA5350 // SHA-1 is what RFC 6455 wants.
            var accept = Convert.ToBase64String(SHA1.HashData(Encoding.ASCII.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
#pragma warning restore CA5350
            await peer.SendAsync($"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
                $"Sec-WebSocket-Accept: {accept}\r\n\r\n");
            using var server = WebSocket.CreateFromStream(peer.Stream, new WebSocketCreationOptions { IsServer = true });
            var buffer = new byte[200_000];
            while (await server.ReceiveAsync(buffer, CancellationToken.None) is { MessageType: not WebSocketMessageType.Close } piece)
            {
                await server.SendAsync(buffer.AsMemory(0, piece.Count), piece.MessageType, piece.EndOfMessage, CancellationToken.None);
                if (backendCloses && piece.EndOfMessage)
                {
                    await server.CloseOutputAsync(WebSocketCloseStatus.EndpointUnavailable, "enough", CancellationToken.None);
                }
            }
            if (!backendCloses)
            {
                await server.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "bye too", CancellationToken.None);
            }
            closed.SetResult();
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = new ClientWebSocket();
        client.Options.KeepAliveInterval = TimeSpan.FromMilliseconds(1); // pings, which are answered or the socket fails
        client.Options.KeepAliveTimeout = TimeSpan.FromSeconds(20);
        await client.ConnectAsync(new Uri($"ws://127.0.0.1:{node.Port}/"), CancellationToken.None);
        var (message, echo) = (new byte[100_000], new byte[100_000]);
        new Random(1).NextBytes(message);

        await client.SendAsync(message, WebSocketMessageType.Binary, true, CancellationToken.None);
        for (var received = 0; received < echo.Length;)
        {
            received += (await client.ReceiveAsync(echo.AsMemory(received), CancellationToken.None)).Count;
        }
        echo.Should().Equal(message);

        if (!backendCloses)
        {
            await client.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "bye", CancellationToken.None);
        }
        (await client.ReceiveAsync(echo, CancellationToken.None)).CloseStatusDescription.Should().Be(backendCloses ? "enough" : "bye too");
        if (backendCloses)
        {
            await client.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "bye", CancellationToken.None);
        }
        await closed.Task;
    }

    [Test]
    public async Task Upgrade_AnyProtocol_IsTheOneThatTheBackendChose()
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: telepathy/2\r\n\r\nhm");
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        var answer = await node.ExchangeAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Mine\r\nConnection:\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nUpgrade: irc/6.9, " +
                "telepathy/2\r\n\r\n");

        head.Should().Contain("\r\nConnection: Upgrade\r\nUpgrade: irc/6.9, telepathy/2\r\n").And.NotContainAny("X-Mine", "Keep-Alive");
        answer.Should().StartWith("HTTP/1.1 101").And.Contain("\r\nConnection: Upgrade\r\n").And.Contain("\r\nUpgrade: telepathy/2\r\n")
            .And.EndWith("\r\n\r\nhm");
    }

    [TestCase("Content-Length: 5\r\n\r\nhello", "hello")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n")]
    public async Task Upgrade_OfARequestWithABody_IsARawTunnelToo(string body, string sent)
    {
        var (head, seen) = ("", "");
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            seen = await peer.ReadAsync(sent.Length);
            await peer.SendAsync("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: x/y\r\n\r\nfirst");
            await peer.SendAsync(" echo " + await peer.ReadUntilAsync("\n") + "last");
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync($"POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n{body}pipelined\n");

        (await client.ReadHeadAsync()).Should().Be(
            "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nContent-Type: x/y\r\nUpgrade: tcp\r\n\r\n");
        (await client.ReadToItsEndAsync()).Should().Be(("first echo pipelined\nlast", false));
        head.Should().Contain("Connection: Upgrade\r\nUpgrade: tcp\r\n");
        seen.Should().Be(sent);
        client.Dispose();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "it is over");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Upgrade_OfARequestWithABodyRefused_IsAnOrdinaryAnswer()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                await peer.ReadAsync(5);
                await peer.SendAsync(Ok);
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync(
                "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 5\r\n\r\nhello");
            (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200").And.EndWith("ok");
        }
    }
}
