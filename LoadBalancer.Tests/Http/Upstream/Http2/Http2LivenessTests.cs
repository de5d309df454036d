using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>Connections whose other end is silent, does not read, or is not there any more.</summary>
internal sealed class Http2LivenessTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace

    [Test]
    public async Task Silence_OfTenSeconds_IsAskedAndEndsTheConnectionFiveSecondsLater()
    {
        var clock = new FakeClock();
        await using var backend = new Http2Server(async (peer, _) =>
        {
            peer.AnswersPings = false;
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, time: clock);
        var answer = node.ExchangeAsync(Post(3));
        await Eventually.BeTrueAsync(() => Has(backend, Data), "the request is there");

        clock.Advance(TimeSpan.FromSeconds(9.5));
        Has(backend, Ping).Should().BeFalse();
        clock.Advance(TimeSpan.FromSeconds(1));
        await Eventually.BeTrueAsync(() => Has(backend, Ping), "it is asked");
        answer.IsCompleted.Should().BeFalse();
        clock.Advance(TimeSpan.FromSeconds(5.5));

        (await answer).Should().StartWith("HTTP/1.1 502");
        await node.ShouldHaveFailedAsync(1);
        node.Pool.Snapshot.Members[0].Health.Reason.Should().NotBeNull();
    }

    [Test]
    public async Task Silence_WithPingsAnswered_GoesOnUntilTheResponseTimeOut()
    {
        var clock = new FakeClock();
        await using var backend = new Http2Server(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await StartAsync(backend, time: clock);
        var answer = node.ExchangeAsync(Get);
        await Eventually.BeTrueAsync(() => Has(backend, Headers), "the request is there");

        clock.Advance(TimeSpan.FromSeconds(10.5));
        await Eventually.BeTrueAsync(() => Has(backend, Ping), "it is asked");
        await SyncAsync(backend);
        clock.Advance(TimeSpan.FromSeconds(6));
        await SyncAsync(backend);
        answer.IsCompleted.Should().BeFalse();
        for (var seconds = 0; seconds < 50; seconds += 5)
        {
            clock.Advance(TimeSpan.FromSeconds(5));
            await SyncAsync(backend);
        }

        (await answer).Should().StartWith("HTTP/1.1 504");
    }

    // gRPC servers end a connection that PINGs more often than every five minutes while they send nothing (GOAWAY, too_many_pings).
    [Test]
    public async Task Silence_OfOneLongStream_IsNotAskedAgainAndAgain()
    {
        var clock = new FakeClock();
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.SendHeadAsync(request!.Stream);
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync(Get);
        await client.ReadHeadAsync();

        for (var seconds = 0; seconds < 90; seconds += 12)
        {
            clock.Advance(TimeSpan.FromSeconds(12));
            await SyncAsync(backend);
        }

        Count(backend, Ping).Should().Be(1, "the answer was that it is there, and nothing new waits for it");
    }

    [Test]
    public async Task ResponseTimeOut_IsFollowedByAPingAtOnce([Values] bool isAnswered)
    {
        var clock = new FakeClock();
        await using var backend = new Http2Server(async (peer, number) =>
        {
            peer.AnswersPings = isAnswered || number > 1;
            var isSilent = number == 1;
            while (await peer.ReadRequestAsync() is { } request)
            {
                if (!isSilent)
                {
                    await peer.AnswerAsync(request.Stream, $"from {number}");
                }
                isSilent = false;
            }
        });
        await using var node = await TestNode.StartAsync(
            [backend.Address],
            pool => pool with { HttpVersion = new Version(2, 0), Timeouts = new() { Response = TimeSpan.FromSeconds(4) } },
            time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync(KeepAlive);
        await Eventually.BeTrueAsync(() => Has(backend, Headers), "the request is there");
        clock.Advance(TimeSpan.FromSeconds(4.5));

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 504");
        await Eventually.BeTrueAsync(() => Has(backend, Ping), "it is asked at once");
        await client.SendAsync(KeepAlive);

        // While it is not known whether the backend is there, the next request goes to another connection.
        (await client.ReadUntilAsync("0\r\n\r\n")).Should().StartWith("HTTP/1.1 200").And.Contain(isAnswered ? "from " : "from 2");
    }

    [Test]
    public async Task Backend_ThatNeverSendsSettings_IsGivenUp()
    {
        var clock = new FakeClock();
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                while (await peer.NextFrameAsync() is { } frame)
                {
                    peer.Seen.Enqueue(frame);
                }
            },
            settings: null);
        await using var node = await StartAsync(backend, time: clock);
        var answer = node.ExchangeAsync(Get);
        await Eventually.BeTrueAsync(() => Has(backend, Headers), "the request is there");

        clock.Advance(TimeSpan.FromSeconds(10.5));
        await Eventually.BeTrueAsync(() => Has(backend, Ping), "it is asked");
        clock.Advance(TimeSpan.FromSeconds(5.5));

        (await answer).Should().StartWith("HTTP/1.1 502");
        await node.ShouldHaveFailedAsync(1);
    }

    [Test]
    public async Task Backend_ThatNeverReads_IsGivenUpAtTheLatestAtTheIdleTimeOut()
    {
        var clock = new FakeClock();
        var told = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            // Room for all, but it reads nothing.
            await peer.SendAsync(Frame(Settings, 0, 0, SettingsOf((4, int.MaxValue))) + Frame(WindowUpdate, 0, 0, Number(1_000_000_000)));
            await told.Task;
        });
        await using var node = await StartAsync([backend.Address], time: clock);
        using var client = await node.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
        var sent = 0L;
        var sending = SendAsync();
        var answer = client.ReadResponseAsync();
        await Eventually.BeTrueAsync(() => backend.Accepted == 1 && Volatile.Read(ref sent) > 1_000_000, "the upload is under way");
        var taken = 0L; // before the answer; then the connection is closed in stages, and the rest is thrown away
        while (!answer.IsCompleted)
        {
            taken = Volatile.Read(ref sent);
            await Task.Delay(TimeSpan.FromMilliseconds(50), TimeProvider.System);
            if (Volatile.Read(ref sent) == taken)
            {
                clock.Advance(TimeSpan.FromSeconds(1)); // Only once nothing moves any more.
            }
        }

        (await answer).Should().MatchRegex("^HTTP/1.1 50[24] ");
        taken.Should().BeLessThan(100_000_000, "no more is taken from the client than can be sent");
        told.SetResult();
        client.Reset();
        await sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await node.ShouldHaveFailedAsync(1);

        async Task SendAsync()
        {
            var piece = new string('p', 100_000);
            while (true)
            {
                await client.SendAsync(piece);
                Interlocked.Add(ref sent, piece.Length);
            }
        }
    }

    [Test]
    public async Task Connection_IdleForLong_IsClosedWithGoAway()
    {
        var clock = new FakeClock();
        await using var backend = Http2Server.Answering();
        await using var node = await StartAsync(backend, time: clock);
        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200");
        await SyncAsync(backend); // The client may have its answer before the connection is idle.

        clock.Advance(TimeSpan.FromSeconds(59));
        Has(backend, GoAway).Should().BeFalse();
        clock.Advance(TimeSpan.FromSeconds(2));

        await Eventually.BeTrueAsync(() => Has(backend, GoAway), "it is closed");
        Has(backend, Ping).Should().BeFalse("nothing waits for it");
        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200");
        backend.Accepted.Should().Be(2);
    }

    // Once our PING is answered, all that the backend has sent before it was handled.
    private static async Task SyncAsync(Http2Server backend)
    {
        var before = Answers();
        await backend.Connections[1].SendFrameAsync(Ping, 0, 0, "in sync?");
        await Eventually.BeTrueAsync(() => Answers() > before, "all is handled");

        int Answers() => backend.Connections[1].Seen.Count(frame => frame is { Type: Ping, Flags: Ack });
    }

    private static bool Has(Http2Server backend, byte type) => Count(backend, type) > 0;

    private static int Count(Http2Server backend, byte type) =>
        backend.Connections.Values.Sum(peer => peer.Seen.Count(frame => frame.Type == type && (type != Ping || frame.Flags == 0)));
}
