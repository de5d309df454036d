using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>
/// Everything by which a client alone could make a healthy backend look ill, in one table: no backend is blamed for it, whatever the HTTP
/// version of either side. TCP: Tcp/ClientFaultTests.cs.
/// </summary>
[TimeLimit(60)]
internal sealed class ClientFaultTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private const string Chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    private const string WebSocket =
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

    private static readonly string Large = new('x', 1024 * 1024);

    private static readonly (string Name, string Value)[] Post =
        [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

    private static readonly (string Name, string Value)[] Connect =
        [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

    // What clients of HTTP/1.1 do.
    private static readonly Dictionary<string, Func<RawPeer, Task>> Http1Clients = new()
    {
        ["ChunkSizeBroken"] = peer => EndAsync(peer, Chunked + "1\r\nx\r\nzz\r\n"),
        ["ChunkEndBroken"] = peer => EndAsync(peer, Chunked + "1\r\nxyz"),
        ["TrailerBroken"] = peer => EndAsync(peer, Chunked + "0\r\nA(b): 1\r\n\r\n"),
        ["BodyTooShort"] = async peer =>
        {
            await peer.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
            peer.EndSending();
            await peer.ReadToEndAsync();
        },
        ["ResetInTheBody"] = async peer =>
        {
            await peer.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
            peer.Reset();
        },
        ["ResetBeforeTheAnswer"] = async peer =>
        {
            await peer.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            peer.Reset();
        },
        ["ResetInTheAnswer"] = async peer =>
        {
            await peer.SendAsync("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            await peer.ReadAsync(1000);
            peer.Reset();
        },
        ["HeadThatEndsTheConnection"] = peer => EndAsync(
            peer, $"GET /close HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {new string('x', 10_000)}\r\n\r\n"),
        ["TunnelReset"] = async peer =>
        {
            await peer.SendAsync(WebSocket);
            await peer.ReadHeadAsync();
            await peer.SendAsync("garbage");
            peer.Reset();
        },
        ["TunnelRefused"] = async peer =>
        {
            await peer.SendAsync(WebSocket.Replace("/chat", "/", StringComparison.Ordinal));
            (await peer.ReadResponseAsync()).Should().MatchRegex("^HTTP/1.1 (200|403) ");
        },
        ["MethodUnknown"] = peer => EndAsync(peer, "GIT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    };

    // What clients of HTTP/2 do.
    private static readonly Dictionary<string, Func<Http2Peer, Task>> Http2Clients = new()
    {
        ["Reset"] = async peer =>
        {
            await peer.SendRequestAsync(1, Post);
            await peer.SendFrameAsync(RstStream, 0, 1, Number(8));
        },
        ["ResetInTheBody"] = async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendFrameAsync(Data, 0, 1, "half");
            await peer.SendFrameAsync(RstStream, 0, 1, Number(0));
        },
        ["BodyTooShort"] = async peer =>
        {
            await peer.SendHeadAsync(0, 1, [.. Post, ("content-length", "9")]);
            await peer.SendFrameAsync(Data, EndStream, 1, "half");
            await peer.ReadFateAsync(1);
        },
        ["BodyTooLong"] = async peer =>
        {
            await peer.SendHeadAsync(0, 1, [.. Post, ("content-length", "3")]);
            await peer.SendFrameAsync(Data, 0, 1, "more");
            await peer.ReadFateAsync(1);
        },
        ["TrailerBroken"] = async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendHeadAsync(EndStream, 1, ("a(b)", "1"));
            await peer.ReadFateAsync(1);
        },
        ["ConnectionEndsInTheBody"] = async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendFrameAsync(Data, 0, 1, "half");
            peer.Dispose();
        },
        ["WebSocketWhereThereIsNone"] = async peer =>
        {
            await peer.SendHeadAsync(0, 1, Connect);
            (await peer.ReadFateAsync(1)).Should().Be("502");
        },
        ["ValueWithBlanks"] = async peer =>
        {
            await peer.SendRequestAsync(1, [.. Post, ("x-a", " b ")]);
            (await peer.ReadFateAsync(1)).Should().Be("200");
        },
    };

    private static IEnumerable<string> Http1Names => Http1Clients.Keys;

    private static IEnumerable<string> Http2Names => Http2Clients.Keys;

    [Test]
    public async Task Http1Client_FaultyInAnyWay_BlamesNoBackend([ValueSource(nameof(Http1Names))] string client)
    {
        await using var backend = new RawServer(ServeAsync);
        await using var node = await TestNode.StartAsync([backend.Address]);

        for (var i = 0; i < 3; i++)
        {
            using var peer = await node.ConnectAsync();
            await Http1Clients[client](peer);
        }

        await ShouldBlameNobodyAsync(node);
    }

    [Test]
    public async Task Http1Client_FaultyInAnyWay_BlamesNoBackendOfHttp2([ValueSource(nameof(Http1Names))] string client)
    {
        await using var backend = new Http2Server(ServeAsync, SettingsOf((8, 1)));
        await using var node = await TestNode.StartAsync(
            [backend.Address], pool => pool with { HttpVersion = System.Net.HttpVersion.Version20 });

        for (var i = 0; i < 3; i++)
        {
            using var peer = await node.ConnectAsync();
            await Http1Clients[client](peer);
        }

        await ShouldBlameNobodyAsync(node);
    }

    [Test]
    public async Task Http2Client_FaultyInAnyWay_BlamesNoBackend(
        [ValueSource(nameof(Http2Names))] string client, [Values(1, 2)] int version)
    {
        await using var backend = new RawServer(ServeAsync);
        await using var other = new Http2Server(ServeAsync);
        await using var node = await TestNode.StartAsync(
            [version == 1 ? backend.Address : other.Address],
            pool => pool with { HttpVersion = new Version(version, version == 1 ? 1 : 0) },
            listener => listener with { HttpVersion = System.Net.HttpVersion.Version20 });

        for (var i = 0; i < 3; i++)
        {
            using var peer = await Http2Peer.ConnectAsync(node.Port);
            await Http2Clients[client](peer);
        }

        await ShouldBlameNobodyAsync(node);
    }

    [Test]
    public async Task Http2Backend_TrailersLargerThanItAccepts_AreTheClientsFault()
    {
        await using var backend = new Http2Server(ServeAsync, SettingsOf((6, 4096)));
        await using var node = await TestNode.StartAsync(
            [backend.Address], pool => pool with { HttpVersion = System.Net.HttpVersion.Version20 });

        for (var i = 0; i < 3; i++)
        {
            (await node.ExchangeAsync(
                Chunked.Replace("Transfer", "Connection: close\r\nTransfer", StringComparison.Ordinal)
                + $"1\r\nx\r\n0\r\nX-A: {new string('x', 5_000)}\r\n\r\n")).Should().StartWith("HTTP/1.1 431");
        }

        await ShouldBlameNobodyAsync(node);
    }

    [Test]
    public async Task Http2Backend_HeadOfEachSizeAroundItsLimit_IsTheClientsFaultOrPasses()
    {
        const int Limit = 6_000;
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                while (await peer.ReadRequestAsync() is { } request)
                {
                    var size = request.Fields.Sum(field => field.Name.Length + field.Value.Length + 32);
                    await (size > Limit ? peer.ResetAsync(request.Stream, 1) : peer.AnswerAsync(request.Stream, "ok"));
                }
            },
            SettingsOf((6, Limit)));
        await using var node = await TestNode.StartAsync(
            [backend.Address], pool => pool with { HttpVersion = System.Net.HttpVersion.Version20 });

        foreach (var size in Enumerable.Range(0, 20).Select(i => Limit - 500 + i * 20))
        {
            (await node.ExchangeAsync($"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {new string('x', size)}\r\n\r\n"))
                .Should().MatchRegex("^HTTP/1.1 (200|431) ");
        }
    }

    [Test]
    public async Task Http1Client_SendsNothingOfItsBodyForLong_BackendThatGivesUpIsNotBlamed([Values(1, 2)] int version)
    {
        var clock = new FakeTimeProvider();
        var giveUp = new TaskCompletionSource();
        var received = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.ReadUntilAsync("half");
            received.SetResult();
            await giveUp.Task;
        });
        await using var other = new Http2Server(async (peer, _) =>
        {
            await peer.ReadRequestAsync();
            await peer.NextAsync(Data);
            received.SetResult();
            await giveUp.Task;
        });
        await using var node = await TestNode.StartAsync(
            [version == 1 ? backend.Address : other.Address],
            pool => pool with { HttpVersion = new Version(version, version == 1 ? 1 : 0) },
            time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
        await received.Task;
        await Task.Delay(TimeSpan.FromMilliseconds(300), TimeProvider.System); // until it waits for the client

        clock.Advance(TimeSpan.FromSeconds(10));
        giveUp.SetResult();

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 502");
        await ShouldHaveNoFailureAsync(node);
    }

    [Test]
    public async Task Http1Client_TakesNothingForLong_BackendThatGivesUpIsNotBlamed()
    {
        const int Length = 64 * 1024 * 1024;
        var piece = new string('x', 64 * 1024);
        var sent = 0;
        var clock = new FakeTimeProvider();
        var giveUp = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {Length}\r\n\r\n");
            var sending = SendAsync(peer);
            await giveUp.Task;
            peer.Reset();
            await sending;
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.ReadHeadAsync();
        for (int before = -1, still = 0; still < 10;) // until nothing moves any more
        {
            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System);
            still = before == Volatile.Read(ref sent) ? still + 1 : 0;
            before = Volatile.Read(ref sent);
        }

        clock.Advance(TimeSpan.FromSeconds(10));
        giveUp.SetResult();

        (await client.ReadToEndAsync()).Length.Should().BeLessThan(Length);
        await ShouldHaveNoFailureAsync(node);

        async Task SendAsync(RawPeer peer)
        {
            for (; sent < Length; Interlocked.Add(ref sent, piece.Length))
            {
                await peer.SendAsync(piece);
            }
        }
    }

    // A healthy backend of HTTP/1.1. It closes the connection for a large head, as some do.
    private static async Task ServeAsync(RawPeer peer, int number)
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            if (head.StartsWith("GET /close", StringComparison.Ordinal))
            {
                return;
            }
            if (head.StartsWith("GET /chat", StringComparison.Ordinal))
            {
                await peer.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
                await peer.ReadToEndAsync();
                return;
            }
            if (head.Contains("Transfer-Encoding", StringComparison.OrdinalIgnoreCase))
            {
                await peer.ReadUntilAsync("0\r\n\r\n");
            }
            else if (head.Contains("Content-Length: 9", StringComparison.OrdinalIgnoreCase))
            {
                await peer.ReadAsync(9);
            }
            await peer.SendAsync(head.StartsWith("GET /large", StringComparison.Ordinal)
                ? $"HTTP/1.1 200 OK\r\nContent-Length: {Large.Length}\r\n\r\n{Large}" : Ok);
        }
    }

    // The same of HTTP/2. It resets the stream of a request that is malformed, as RFC 9113 section 8.1.1 says.
    private static async Task ServeAsync(Http2ServerPeer peer, int number)
    {
        while (await peer.ReadRequestAsync() is { } request)
        {
            if (request.Fields.Any(field => field.Value.Trim() != field.Value))
            {
                await peer.ResetAsync(request.Stream, 1);
            }
            else if (request[":path"] == "/close")
            {
                await peer.ResetAsync(request.Stream, 11);
            }
            else if (request[":path"] == "/chat")
            {
                await peer.SendHeadAsync(request.Stream);
            }
            else if (request[":method"] == "CONNECT")
            {
                await peer.SendHeadAsync(request.Stream, 403, isEnd: true);
            }
            else if (request[":path"] == "/large")
            {
                await peer.SendTextAsync(
                    Http2ServerPeer.Head(request.Stream)
                    + string.Concat(Enumerable.Repeat(Frame(Data, 0, request.Stream, Large[..16_000]), 10))
                    + Frame(Data, EndStream, request.Stream));
            }
            else if (request.IsEnd || await peer.ReadBodyAsync(request.Stream) is not null)
            {
                await peer.AnswerAsync(request.Stream, "ok");
            }
        }
    }

    private static async Task EndAsync(RawPeer peer, string request)
    {
        await peer.SendAsync(request);
        await peer.ReadHeadAsync();
    }

    private static async Task ShouldBlameNobodyAsync(TestNode node)
    {
        await ShouldHaveNoFailureAsync(node);
        node.Log.Lines.Should().NotContain(line => line.StartsWith("Warning", StringComparison.Ordinal), "the operator has nothing to do");
        (string.Join('\n', node.Errors.Summary().Recent.Select(error => error.Message)))
            .Should().NotContain("disposed").And.NotContain("unexpected error");
    }

    private static async Task ShouldHaveNoFailureAsync(TestNode node)
    {
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "its lease is given back");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
        node.Pool.Snapshot.Members[0].Health.IsUp.Should().BeTrue();
    }
}
