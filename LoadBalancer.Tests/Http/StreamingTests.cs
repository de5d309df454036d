using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http;

/// <summary>Messages that take their time: pieces, both directions at once, trailers, interim answers, tunnels.</summary>
internal sealed class StreamingTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private const string WebSocket = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";
    private const string Switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n";

    [Test]
    public async Task Response_EachPiece_ReachesTheClientAtOnce()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
            for (var i = 0; i < 3; i++)
            {
                await peer.SendAsync($"9\r\ndata: {i}\n\n\r\n");
                await peer.ReadUntilAsync("next");
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 200");

        for (var i = 0; i < 3; i++)
        {
            (await client.ReadUntilAsync("\n\n\r\n")).Should().Be($"9\r\ndata: {i}\n\n\r\n");
            await client.SendAsync("4\r\nnext\r\n"); // Only now: both directions are open at once.
        }
    }

    [TestCase("Content-Length: 100")]
    [TestCase("Connection: close")]
    [TestCase("Transfer-Encoding: chunked")]
    public async Task Response_HeadBeforeItsBody_ReachesTheClientAtOnce(string field)
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync($"HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 200");
    }

    [Test]
    public async Task Response_OneHugeChunk_FlowsAsItComes()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\nfirst");
            await peer.ReadUntilAsync("more");
            await peer.SendAsync("second");
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        (await client.ReadUntilAsync("first")).Should().EndWith("40000000\r\nfirst");
        await client.SendAsync("4\r\nmore\r\n");

        (await client.ReadUntilAsync("second")).Should().Be("second");
    }

    [Test]
    public async Task Response_ClientDoesNotRead_IsCutAndNobodyElseIsBlamed()
    {
        var clock = new FakeClock();
        var megabyte = new string('x', 1024 * 1024);
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while (true)
            {
                await peer.SendAsync(megabyte);
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { PassiveHealth = new() { Failures = 1 } }, time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await client.ReadHeadAsync();

        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(TimeSpan.FromSeconds(20));
                return node.Pool.Snapshot.Members[0].InFlight == 0;
            },
            "nothing moves, and that has an end");

        node.Pool.Snapshot.Members[0].Should().BeEquivalentTo(new { Failures = 0, Health = new { IsUp = true } });
    }

    [Test]
    public async Task Response_Trailers_ReachAnHttp11Client()
    {
        await using var backend = RawServer.Answering(
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 7\r\nTransfer-Encoding: gzip\r\n\r\n");
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
            (await client.ReadHeadAsync()).Should().Contain("Transfer-Encoding: chunked\r\n").And.Contain("Trailer: X-Sum\r\n");
            (await client.ReadHeadAsync()).Should().Be("5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n", "fields that frame messages are no trailers");
        }
        backend.Accepted.Should().Be(1);
    }

    [Test]
    public async Task Response_ChunkedToAnHttp10Client_EndsWithTheConnection()
    {
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n");
        await using var node = await TestNode.StartAsync([backend.Address]);

        var response = await node.ExchangeAsync("GET / HTTP/1.0\r\nHost: a\r\n\r\n");

        response.Should().NotContain("Transfer-Encoding").And.EndWith("\r\n\r\nhello");
    }

    [Test]
    public async Task Request_Trailers_ReachTheBackend()
    {
        var body = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            body = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        await node.ExchangeAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nHost: evil\r\n\r\n");

        body.Should().Be("5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n");
    }

    [TestCase("TE: gzip, trailers;q=0.5\r\n", "Connection: TE\r\nTE: trailers\r\n")]
    [TestCase("TE: gzip\r\n", null)]
    public async Task Request_Te_ShrinksToTrailers(string field, string? forwarded)
    {
        var head = await HeadSeenAsync($"GET / HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n");

        if (forwarded is null)
        {
            head.Should().NotContain("TE:");
        }
        else
        {
            head.Should().Contain(forwarded);
        }
    }

    [Test]
    public async Task Request_AnsweredBeforeItsEnd_GetsTheAnswer()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbeginning");

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 413 Too Large").And.EndWith("big");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "the lease is given back");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Request_ClientBreaksOffItsBody_BackendNeverSeesItWhole()
    {
        var seen = new TaskCompletionSource<string>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            seen.SetResult(await peer.ReadToEndAsync());
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using (var client = await node.ConnectAsync())
        {
            await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the request is under way");
        }

        (await seen.Task).Should().NotContain("0\r\n\r\n");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Expect_Accepted_BodyFollowsTheBackends100()
    {
        var body = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            (await peer.ReadHeadAsync()).Should().Contain("Expect: 100-continue\r\n");
            await peer.SendAsync("HTTP/1.1 100 Continue\r\n\r\n");
            body = await peer.ReadAsync(5);
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: new FakeClock());
        using var client = await node.ConnectAsync();

        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        (await client.ReadHeadAsync()).Should().Be("HTTP/1.1 100 Continue\r\n\r\n");
        await client.SendAsync("hello");

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200");
        body.Should().Be("hello");
    }

    [Test]
    public async Task Expect_Refused_TheBodyIsNotAskedFor()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: new FakeClock());

        using var client = await node.ConnectAsync();

        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 401 Unauthorized\r\n").And.Contain("Connection: close\r\n").And.EndWith("no").And.NotContain("100 Continue");
    }

    [Test]
    public async Task Expect_BackendKnowsNothingOfIt_BodyFollowsAfterASecond()
    {
        var clock = new FakeClock();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.ReadAsync(5);
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");

        var answer = client.ReadUntilAsync("ok");
        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(TimeSpan.FromSeconds(1));
                return answer.IsCompleted;
            },
            "patience ends");

        (await answer).Should().Contain("HTTP/1.1 200 OK");
    }

    [Test]
    public async Task Upgrade_Accepted_IsARawTunnel()
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Switching + "first");
            while (await peer.ReadUntilAsync("\n") is { } line)
            {
                await peer.SendAsync("echo " + line);
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync(WebSocket + "\u0000\u00ffhello\n");

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101 Switching Protocols\r\n").And.Contain("Upgrade: websocket\r\n")
            .And.Contain("Connection: Upgrade\r\n").And.Contain("Sec-WebSocket-Accept: y\r\n").And.NotContain("X-Hop");
        (await client.ReadUntilAsync("\n")).Should().Be("firstecho \u0000\u00ffhello\n");
        await client.SendAsync("again\n");
        (await client.ReadUntilAsync("\n")).Should().Be("echo again\n");
        head.Should().Contain("Connection: Upgrade\r\nUpgrade: websocket\r\n").And.Contain("Sec-WebSocket-Key: x");
        node.Pool.Snapshot.Members[0].InFlight.Should().Be(1);

        client.Dispose();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "the tunnel ends with its client");
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

        (await node.ExchangeAsync(WebSocket)).Should().EndWith("\r\n\r\nbye");
    }

    [Test]
    public async Task Upgrade_Refused_IsAnOrdinaryAnswer()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        await client.SendAsync(WebSocket);

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200 OK").And.EndWith("ok");
    }

    [Test]
    public async Task Upgrade_Unasked_Is502()
    {
        await using var backend = RawServer.Answering(Switching);
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).Should().StartWith("HTTP/1.1 502");
    }

    [Test]
    public async Task Upgrade_OfferOfH2c_IsNotPassedOn() =>
        (await HeadSeenAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"))
            .Should().NotContainAny("Upgrade", "HTTP2-Settings");

    [Test]
    public async Task Upgrade_NothingMoves_EndsAtTheIdleTimeOut()
    {
        var clock = new FakeClock();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(Switching);
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync(WebSocket);
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101");

        var end = client.ReadToEndAsync();
        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(TimeSpan.FromSeconds(10));
                return end.IsCompleted;
            },
            "the tunnel is closed");

        (await end).Should().BeEmpty();
    }

    private static async Task<string> HeadSeenAsync(string request)
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Ok);
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        (await node.ExchangeAsync(request)).Should().StartWith("HTTP/1.1 200 OK");
        return head;
    }
}
