using System.Net.WebSockets;
using System.Text;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>WebSockets over HTTP/2 to a backend (RFC 8441), from clients of both versions.</summary>
internal sealed class Http2WebSocketTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace
    private const string Upgrade =
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    private static readonly string Connects = SettingsOf((8, 1));

    private static readonly (string Name, string Value)[] Connect =
    [
        (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a"), (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ];

    [Test]
    public async Task WebSocket_KestrelBackend_EchoesToAClientOfTheFramework([Values("1.1", "2.0")] string version)
    {
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                // Without the WebSocket middleware: the stream of an extended CONNECT, and the frames of a WebSocket over it.
                var connect = context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpExtendedConnectFeature>()!;
                connect.IsExtendedConnect.Should().BeTrue();
                context.Request.Headers.ContainsKey("Sec-WebSocket-Key").Should().BeFalse();
                using var socket = WebSocket.CreateFromStream(
                    await connect.AcceptAsync(), new WebSocketCreationOptions { IsServer = true });
                var buffer = new byte[100_000];
                while (await socket.ReceiveAsync(buffer, default) is { MessageType: not WebSocketMessageType.Close } received)
                {
                    await socket.SendAsync(buffer.AsMemory(0, received.Count), received.MessageType, received.EndOfMessage, default);
                }
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "bye", default);
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync([backend.Address], version);
        using var client = new ClientWebSocket();
        client.Options.HttpVersion = Version.Parse(version);
        client.Options.HttpVersionPolicy = System.Net.Http.HttpVersionPolicy.RequestVersionExact;
        using var invoker = new HttpMessageInvoker(TestNode.NewHandler());

        await client.ConnectAsync(new Uri($"ws://127.0.0.1:{node.Port}/chat"), invoker, default);
        var buffer = new byte[100_000];
        foreach (var length in new[] { 1, 125, 126, 70_000 })
        {
            await client.SendAsync(Encoding.ASCII.GetBytes(new string('w', length)), WebSocketMessageType.Text, true, default);
            var count = 0;
            for (var isEnd = false; !isEnd;)
            {
                var received = await client.ReceiveAsync(buffer.AsMemory(count), default);
                (count, isEnd) = (count + received.Count, received.EndOfMessage);
            }
            count.Should().Be(length);
        }
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, "", default);

        client.CloseStatusDescription.Should().Be("bye");
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task WebSocket_Http11Client_GetsItsKeyConfirmedAndATunnel()
    {
        Http2Request? request = null;
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                request = await peer.ReadRequestAsync();
                await peer.SendHeadAsync(request!.Stream, 200, false, ("sec-websocket-protocol", "x"));
                while (await peer.NextAsync(Data) is { Payload: var payload })
                {
                    await peer.SendFrameAsync(Data, 0, request.Stream, "echo " + payload);
                }
            },
            Connects);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(Upgrade);

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101 Switching Protocols\r\n").And.Contain("Upgrade: websocket\r\n")
            .And.Contain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n").And.MatchRegex("(?i)sec-websocket-protocol: x\r\n");
        request!.Fields.Take(5).Should().BeEquivalentTo([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
            (":path", "/chat"), (":authority", "a")]);
        request["sec-websocket-key"].Should().BeNull();
        request["upgrade"].Should().BeNull();
        request["connection"].Should().BeNull();
        request.IsEnd.Should().BeFalse();
        await client.SendAsync("\0one");
        (await client.ReadUntilAsync("one")).Should().Be("echo \0one");
        node.Pool.Snapshot.Members[0].InFlight.Should().Be(1);
    }

    [TestCase("1.1")]
    [TestCase("2.0")]
    public async Task WebSocket_NotAnnounced_Is502AndNothingIsSent(string version)
    {
        await using var backend = Http2Server.Answering();
        await using var node = await StartAsync(backend, version);

        if (version == "1.1")
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync(Upgrade);
            (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 502").And.Contain("http_upgrade_failed")
                .And.Contain("does not accept this WebSocket");
        }
        else
        {
            using var client = await Http2Peer.ConnectAsync(node.Port);
            await client.SendFrameAsync(Headers, EndHeaders, 1, Encode(Connect));
            (await client.ReadFrameAsync(Data))!.Value.Payload.Should().Contain("does not accept this WebSocket");
        }

        backend.Connections.Values.SelectMany(peer => peer.Seen).Should().NotContain(frame => frame.Type == Headers);
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task WebSocket_Refused_IsAnOrdinaryAnswer()
    {
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                while (await peer.ReadRequestAsync() is { } request)
                {
                    await peer.SendTextAsync(Http2ServerPeer.Head(request.Stream, 403, false, ("content-length", "2"))
                        + Frame(Data, EndStream, request.Stream, "no"));
                }
            },
            Connects);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(Upgrade);

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 403").And.EndWith("\r\n\r\nno");
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task Tunnel_ClientThatEnds_EndsTheStreamInOrder([Values("1.1", "2.0")] string version)
    {
        Assume.That(version == "2.0" || TransportChoice.IsEpoll, "a tunnel survives its client's half-close on event loops only");
        var seen = new TaskCompletionSource<List<Http2Frame>>();
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                var request = await peer.ReadRequestAsync();
                await peer.SendHeadAsync(request!.Stream);
                var frames = new List<Http2Frame>();
                while (frames is not [.., { IsEnd: true } or { Type: RstStream }])
                {
                    frames.Add((await peer.NextAsync(Data, RstStream))!);
                }
                seen.SetResult(frames);
                await peer.SendFrameAsync(Data, EndStream, request.Stream, "bye");
                await peer.ReadToEndAsync();
            },
            Connects);
        await using var node = await StartAsync(backend, version);

        if (version == "1.1")
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync(Upgrade);
            await client.ReadHeadAsync();
            await client.SendAsync("last");
            client.EndSending();
            await seen.Task;
        }
        else
        {
            using var client = await Http2Peer.ConnectAsync(node.Port);
            await client.SendFrameAsync(Headers, EndHeaders, 1, Encode(Connect));
            await client.ReadFrameAsync(Headers);
            await client.SendFrameAsync(Data, EndStream, 1, "last");
            await seen.Task;
        }

        var all = await seen.Task;
        string.Concat(all.Where(frame => frame.Type == Data).Select(frame => frame.Payload)).Should().Be("last");
        all[^1].Type.Should().Be(Data, "RFC 8441 section 5: the orderly end of the connection is END_STREAM, and RST_STREAM its reset");
        await node.ShouldHaveFailedAsync(0);
    }

    [TestCase("end")]
    [TestCase("reset")]
    [TestCase("violation")]
    [TestCase("malformed")]
    [TestCase("closed")]
    public async Task Tunnel_BackendThatEnds_EndsTheClient(string how)
    {
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                var request = await peer.ReadRequestAsync();
                await peer.SendHeadAsync(request!.Stream);
                await peer.SendFrameAsync(Data, 0, request.Stream, "hello");
                await peer.NextAsync(Data);
                await peer.SendTextAsync(how switch
                {
                    "end" => Frame(Data, EndStream, request.Stream, "bye"),
                    "reset" => Frame(RstStream, 0, request.Stream, Number(8)),
                    "violation" => Frame(Data, 0, 0, "x"),
                    "malformed" => Frame(Headers, EndHeaders, request.Stream, Encode(("a", "b"))),
                    _ => "",
                });
                if (how != "closed")
                {
                    await peer.ReadToEndAsync();
                }
            },
            Connects);
        await using var node = await StartAsync(backend); // It fails where an exception reaches Kestrel.
        using var client = await node.ConnectAsync();
        await client.SendAsync(Upgrade);
        await client.ReadUntilAsync("hello");
        await client.SendAsync("go on");

        (await client.ReadToEndAsync()).Should().Be(how == "end" ? "bye" : "");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "the lease is given back");
    }
}
