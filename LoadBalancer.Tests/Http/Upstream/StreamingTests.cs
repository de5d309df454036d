using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Upstream;

/// <summary>Messages that take their time: pieces, both directions at once, trailers, interim answers.</summary>
internal sealed class StreamingTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

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
        var clock = new FakeTimeProvider();
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
        await using var node =
            await TestNode.StartAsync([backend.Address], pool => pool with { PassiveHealth = new() { Failures = 1 } }, time: clock);
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
            "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 7\r\n" +
                "Transfer-Encoding: gzip\r\n\r\n");
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
            (await client.ReadHeadAsync()).Should().Contain("Transfer-Encoding: chunked\r\n").And.Contain("Trailer: X-Sum\r\n");
            (await client.ReadHeadAsync()).Should().Be(
                "5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n", "fields that frame messages are no trailers");
        }
        backend.Accepted.Should().Be(1);
    }

    [Test]
    public async Task Response_ChunkedToAnHttp10Client_EndsWithTheConnection()
    {
        await using var backend =
            RawServer.Answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n");
        await using var node = await TestNode.StartAsync([backend.Address]);

        var response = await node.ExchangeAsync("GET / HTTP/1.0\r\nHost: a\r\n\r\n");

        response.Should().NotContain("Transfer-Encoding").And.EndWith("\r\n\r\nhello");
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

    [TestCase("Content-Length: 14\r\n\r\nbeginning", "& end")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n9\r\nbeginning\r\n", "5\r\n& end\r\n0\r\n\r\n")]
    public async Task Request_AnsweredBeforeItsEnd_LeavesTheClientsConnectionUsable(string beginning, string end)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 3; i++)
        {
            await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\n" + beginning);
            (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200 OK").And.NotContain("Connection: close").And.EndWith("ok");
            await client.SendAsync(end);
        }
        backend.Accepted.Should().Be(3, "on a backend connection it is unknown where the next request would begin");
    }

    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")]
    [TestCase("Content-Length: 10\r\n\r\nhello")]
    public async Task Request_ClientBreaksOffItsBody_BackendNeverSeesItWhole(string request)
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
            await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\n" + request);
            await Eventually.BeTrueAsync(() => backend.Accepted == 1, "the request is under way");
        }

        (await seen.Task).Should().BeOneOf("", "hello", "5\r\nhello\r\n");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")]
    [TestCase("Content-Length: 10\r\n\r\nhello")]
    public async Task Request_ClientResetsInTheMiddleOfItsBody_IsNotedAsGone(string request)
    {
        var file = Path.GetTempFileName();
        try
        {
            await using var backend = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
            await using (var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with { AccessLog = file }))
            {
                for (var i = 1; i <= 50; i++)
                {
                    using var client = await node.ConnectAsync();
                    await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\n" + request);
                    await Eventually.BeTrueAsync(() => backend.Accepted == i, "the request is under way");
                    client.Reset();
                    await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "the lease is given back");
                }
                await node.StopAsync();
            }

            var lines = await File.ReadAllLinesAsync(file);
            lines.Should().HaveCount(50).And.OnlyContain(line => line.Contains(" HTTP/1.1\" 499 ", StringComparison.Ordinal));
        }
        finally
        {
            File.Delete(file);
        }
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
        await using var node = await TestNode.StartAsync([backend.Address], time: new FakeTimeProvider());
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
        var body = new TaskCompletionSource<string>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
            body.SetResult(await peer.ReadToEndAsync());
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: new FakeTimeProvider());
        using var client = await node.ConnectAsync();

        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 401 Unauthorized\r\n").And.Contain("Connection: close\r\n")
            .And.EndWith("no").And.NotContain("100 Continue");
        (await body.Task).Should().BeEmpty("the connection is closed, for its backend waits for a body");
    }

    [Test]
    public async Task Expect_Http10Client_IsNeverSent100()
    {
        var body = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 100 Continue\r\n\r\n");
            body = await peer.ReadAsync(5);
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: new FakeTimeProvider());

        var answer = await node.ExchangeAsync("PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");

        answer.Should().StartWith("HTTP/1.1 200").And.NotContain("100 Continue").And.EndWith("\r\n\r\nok");
        body.Should().Be("hello");
    }

    [Test]
    public async Task Expect_BackendKnowsNothingOfIt_BodyFollowsAfterASecond()
    {
        var clock = new FakeTimeProvider();
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
        await Eventually.BeDoneAsync(answer, clock, TimeSpan.FromSeconds(1), "patience ends");

        (await answer).Should().Contain("HTTP/1.1 200 OK");
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
