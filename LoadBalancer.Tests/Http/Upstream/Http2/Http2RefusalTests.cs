using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>A backend that says that it has not processed a request (RFC 9113 sections 6.8 and 8.7): it gets it again.</summary>
internal sealed class Http2RefusalTests
{
    private const int NoError = 0, InternalError = 2, RefusedStream = 7;
    private const int Kept = 64 * 1024;

    [Test]
    public async Task GoAway_StreamAboveTheLast_GoesToAnotherConnectionUncounted([Values(0, 1, 40_000, Kept, 1_000_000)] int length)
    {
        var bodies = new List<string?>();
        await using var backend = new Http2Server(async (peer, number) =>
        {
            var request = await peer.ReadRequestAsync();
            if (number == 1)
            {
                await peer.GoAwayAsync(last: 0);
                await peer.ReadToEndAsync();
                return;
            }
            bodies.Add(request!.IsEnd ? "" : await peer.ReadBodyAsync(request.Stream));
            await peer.AnswerAsync(request.Stream, "ok");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(length == 0 ? Get : Post(length))).Should().StartWith("HTTP/1.1 200");

        bodies.Should().Equal(new string('p', length));
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task GoAway_MoreOfTheBodyUsedThanIsKept_Is502()
    {
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                await peer.ReadRequestAsync();
                await peer.SendFrameAsync(WindowUpdate, 0, 0, Number(1_000_000));
                for (var received = 0; received <= Kept;)
                {
                    received += (await peer.NextAsync(Data))!.Payload.Length;
                }
                await peer.GoAwayAsync(last: 0);
                await peer.ReadToEndAsync();
            },
            SettingsOf((4, 1_000_000)));
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(Post(200_000)[..150_000]);

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 502").And.Contain("connection_terminated");
        backend.Accepted.Should().Be(1);
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task GoAway_PostUpToTheLast_IsNeverSentAgain()
    {
        var requests = 0;
        await using var backend = new Http2Server(async (peer, _) =>
        {
            await peer.ReadRequestAsync();
            Interlocked.Increment(ref requests);
            await peer.GoAwayAsync(last: 1);
        });
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(Post(3))).Should().StartWith("HTTP/1.1 502");

        requests.Should().Be(1);
        await node.ShouldHaveFailedAsync(1);
    }

    [Test]
    public async Task GoAway_StreamUpToTheLast_IsAnsweredOnItsConnection()
    {
        var told = new TaskCompletionSource();
        await using var backend = new Http2Server(async (peer, number) =>
        {
            var request = await peer.ReadRequestAsync();
            if (number == 1)
            {
                await peer.GoAwayAsync(int.MaxValue); // The graceful one: a warning.
                await told.Task;
                await peer.GoAwayAsync(last: 1);
            }
            await peer.AnswerAsync(request!.Stream, $"connection {number}");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);

        var first = node.ExchangeAsync(Get);
        await Eventually.BeTrueAsync(
            () => backend.Connections.TryGetValue(1, out var peer) && peer.Seen.Any(frame => frame.Type == Http2Wire.Headers),
            "it is asked");
        var second = node.ExchangeAsync(Get); // Perhaps sent on the first connection before the warning is handled there: right either way.
        told.SetResult();

        (await second).Should().StartWith("HTTP/1.1 200").And.Contain("connection 2");
        (await first).Should().StartWith("HTTP/1.1 200").And.Contain("connection 1");
        await Eventually.BeTrueAsync(
            () => backend.Connections[1].Seen.Any(frame => frame.Type == GoAway), "the connection is closed after its last stream");
        await node.ShouldHaveFailedAsync(0);
    }

    // nginx ends a connection after keepalive_requests, whatever else is under way on it.
    [Test]
    public async Task GoAway_AfterEachRequest_ServesManyAtOnceAllTheSame()
    {
        const int Requests = 20;
        await using var backend = OneRequestEach();
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);

        for (var i = 0; i < Requests; i++)
        {
            await client.SendFrameAsync(Http2Wire.Headers, EndHeaders, 2 * i + 1, Encode(Call));
            await client.SendFrameAsync(Data, EndStream, 2 * i + 1, "body");
        }

        for (var i = 0; i < Requests; i++)
        {
            (await client.ReadFrameAsync(Data))!.Value.Payload.Should().Be("ok");
        }
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task GoAway_AfterEachRequestOfManyClients_BeginsEachConnectionWithThePreface()
    {
        await using var backend = OneRequestEach();
        await using var node = await StartAsync(backend);

        await Task.WhenAll(Enumerable.Range(0, 16).Select(async _ =>
        {
            using var client = await node.ConnectAsync();
            for (var i = 0; i < 50; i++)
            {
                await client.SendAsync(KeepAlive);
                (await client.ReadUntilAsync("0\r\n\r\n")).Should().StartWith("HTTP/1.1 200");
            }
        }));

        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task GoAway_WhileALongStreamGoesOnAndNobodyListens_FailsTheNextRequestAtOnce()
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            await peer.ReadRequestAsync();
            await peer.SendHeadAsync(1);
            await peer.GoAwayAsync(last: 1);
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await client.SendAsync(KeepAlive);
        await client.ReadHeadAsync();
        backend.StopListening();

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502").And.Contain("connection_refused");
    }

    [Test]
    public async Task RefusedStream_Once_IsSentAgainUncounted([Values(0, 3)] int length)
    {
        var requests = 0;
        await using var backend = new Http2Server(async (peer, _) =>
        {
            while (await peer.ReadRequestAsync() is { } request)
            {
                if (Interlocked.Increment(ref requests) == 1)
                {
                    await peer.ResetAsync(request.Stream, RefusedStream);
                    continue;
                }
                (request.IsEnd ? "" : await peer.ReadBodyAsync(request.Stream)).Should().Be(new string('p', length));
                await peer.AnswerAsync(request.Stream, "ok");
            }
        });
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(length == 0 ? Get : Post(length))).Should().StartWith("HTTP/1.1 200");

        requests.Should().Be(2);
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task RefusedStream_WhileTheUploadWaitsForRoom_IsSentAgainWhole([Values] bool isRestThere)
    {
        var bodies = new List<string?>();
        var refused = new TaskCompletionSource();
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                while (await peer.ReadRequestAsync() is { } request)
                {
                    await peer.SendHeadAsync(request.Stream, 100); // The SETTINGS are known before it.
                    if (!refused.Task.IsCompleted)
                    {
                        (await peer.NextAsync(Data))!.Payload.Length.Should().Be(100);
                        await peer.SendTextAsync(Frame(RstStream, 0, request.Stream, Number(RefusedStream))
                            + Frame(Settings, 0, 0, SettingsOf((4, 65_535))));
                        refused.SetResult();
                        continue;
                    }
                    bodies.Add(await peer.ReadBodyAsync(request.Stream));
                    await peer.AnswerAsync(request.Stream, "ok");
                }
            },
            SettingsOf((4, 100)));
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        var post = PostWhenAsked(1_000);
        await client.SendAsync(isRestThere ? post : post[..^500]);
        await refused.Task;
        await client.SendAsync(isRestThere ? "" : post[^500..]);

        (await client.ReadToEndAsync()).Should().Contain("HTTP/1.1 200").And.EndWith("\r\nok\r\n0\r\n\r\n");
        bodies.Should().Equal(new string('p', 1_000));
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task RefusedStream_Always_GoesToTheNextBackendAfterFiveTries()
    {
        var requests = 0;
        await using var refusing = new Http2Server(async (peer, _) =>
        {
            while (await peer.ReadRequestAsync() is { } request)
            {
                Interlocked.Increment(ref requests);
                await peer.ResetAsync(request.Stream, RefusedStream);
            }
        });
        await using var other = Http2Server.Answering("other");
        await using var node = await StartAsync([refusing.Address, other.Address]);

        var answers = new[] { await node.ExchangeAsync(Post(3)), await node.ExchangeAsync(Post(3)) };

        answers.Should().AllSatisfy(answer => answer.Should().StartWith("HTTP/1.1 200").And.Contain("other"));
        requests.Should().Be(5);
    }

    [TestCase(InternalError, "HTTP/1.1 502")]
    [TestCase(NoError, "HTTP/1.1 502")]
    public async Task ResetBeforeTheHead_Post_IsNotSentAgain(int code, string expected)
    {
        var requests = 0;
        await using var backend = new Http2Server(async (peer, _) =>
        {
            while (await peer.ReadRequestAsync() is { } request)
            {
                Interlocked.Increment(ref requests);
                await peer.ResetAsync(request.Stream, code);
            }
        });
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(Post(3))).Should().StartWith(expected);

        requests.Should().Be(1);
        await node.ShouldHaveFailedAsync(1);
    }

    // A connection that has served requests may be closed for being idle just as the next one is sent: once, and not again and again.
    [Test]
    public async Task ClosedWithoutAnAnswer_OnTwoConnectionsInTurn_IsAFailure()
    {
        using var both = new CountdownEvent(2);
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                while (await peer.ReadRequestAsync() is { } request && request[":path"] != "/last")
                {
                    if (request[":path"] == "/both")
                    {
                        both.Signal();
                        await Eventually.BeTrueAsync(() => both.IsSet, "each connection has a request");
                    }
                    await peer.SendHeadAsync(request.Stream, isEnd: true);
                }
            },
            SettingsOf((3, 1)));
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await AskAsync(1, "/first"); // After it the limit is known.
        await client.ReadFrameAsync(Http2Wire.Headers);
        await AskAsync(3, "/both");
        await AskAsync(5, "/both");
        await client.ReadFrameAsync(Http2Wire.Headers);
        await client.ReadFrameAsync(Http2Wire.Headers);
        await AskAsync(7, "/last");

        (await client.ReadFrameAsync(Data))!.Value.Payload.Should().Contain("closed the connection");
        await node.ShouldHaveFailedAsync(1);

        Task AskAsync(int stream, string path) =>
            client.SendRequestAsync(stream, (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path));
    }

    // A server that takes one request on each connection.
    private static Http2Server OneRequestEach() => new(async (peer, _) =>
    {
        if (await peer.ReadRequestAsync() is { } request)
        {
            await peer.AnswerAsync(request.Stream, "ok");
            await peer.GoAwayAsync(request.Stream);
            await peer.ReadToEndAsync();
        }
    });

    [TestCase("before SETTINGS")]
    [TestCase("after SETTINGS")]
    [TestCase("after the request")]
    [TestCase("in the head")]
    public async Task Closed_InAnyPhaseBeforeTheHead_Is502(string phase)
    {
        await using var backend = new RawServer(async (raw, _) =>
        {
            using var peer = new Http2ServerPeer(raw);
            await peer.BeginAsync(phase == "before SETTINGS" ? null : "");
            if (phase is "after the request" or "in the head")
            {
                await peer.ReadRequestAsync();
            }
            if (phase == "in the head")
            {
                await peer.SendTextAsync(Http2ServerPeer.Head(1)[..^3]);
            }
        });
        await using var node = await StartAsync([backend.Address]);

        (await node.ExchangeAsync(Post(3))).Should().StartWith("HTTP/1.1 502").And.Contain("connection_terminated");
        await node.ShouldHaveFailedAsync(1);
    }

    [Test]
    public async Task Closed_InTheBody_IsVisiblyBroken([Values] bool isReset)
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            await peer.ReadRequestAsync();
            await peer.SendTextAsync(Http2ServerPeer.Head(1) + Frame(Data, 0, 1, "half"));
            await peer.NextAsync(Ping);
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await client.SendAsync(KeepAlive);
        await client.ReadUntilAsync("half\r\n");

        if (isReset)
        {
            await backend.KillAsync();
        }
        else
        {
            backend.Connections[1].Dispose();
        }

        (await client.ReadToEndAsync()).Should().BeEmpty();
        await node.ShouldHaveFailedAsync(1);
    }
}
