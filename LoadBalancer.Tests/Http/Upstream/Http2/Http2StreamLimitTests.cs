using System.Collections.Concurrent;
using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>The backend's SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 5.1.2).</summary>
internal sealed class Http2StreamLimitTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace

    [TestCase(1)]
    [TestCase(3)]
    public async Task Limit_ManyRequestsAtOnce_IsKeptWithMoreConnections(int limit)
    {
        const int Requests = 24;
        var open = new ConcurrentDictionary<(int, int), int>();
        var all = new TaskCompletionSource();
        var most = 0;
        await using var backend = new Http2Server(
            async (peer, number) =>
            {
                while (await peer.ReadRequestAsync() is { } request)
                {
                    if (request[":path"] == "/first")
                    {
                        await peer.AnswerAsync(request.Stream, "ok"); // After it the limit is known.
                        continue;
                    }
                    open[(number, request.Stream)] = 0;
                    most = Math.Max(most, open.Keys.Count(key => key.Item1 == number));
                    if (open.Count == Requests)
                    {
                        all.TrySetResult();
                    }
                    _ = AnswerAsync(request.Stream);
                }

                async Task AnswerAsync(int stream)
                {
                    await all.Task;
                    await peer.AnswerAsync(stream, "ok");
                }
            },
            SettingsOf((3, limit)));
        await using var node = await StartAsync(backend);
        await node.ExchangeAsync(Get.Replace("GET /", "GET /first", StringComparison.Ordinal));

        var exchanges = Enumerable.Range(0, Requests).Select(_ => node.ExchangeAsync(Get)).ToList();
        await Eventually.BeTrueAsync(() => open.Count == Requests, "all are there at once");
        var answers = await Task.WhenAll(exchanges);

        answers.Should().AllSatisfy(answer => answer.Should().StartWith("HTTP/1.1 200"));
        most.Should().Be(limit);
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task Limit_Of0_OpensFewConnectionsAndWaitsUntilItIsRaised()
    {
        var raised = new TaskCompletionSource();
        await using var backend = new Http2Server(
            async (peer, number) =>
            {
                _ = RaiseAsync();
                while (await peer.ReadRequestAsync() is { } request)
                {
                    await (raised.Task.IsCompleted ? peer.AnswerAsync(request.Stream, "ok") : peer.ResetAsync(request.Stream, 7));
                }

                async Task RaiseAsync()
                {
                    await raised.Task;
                    await peer.SendFrameAsync(Settings, 0, 0, SettingsOf((3, 10)));
                }
            },
            SettingsOf((3, 0)));
        await using var node = await StartAsync(backend);

        var answer = node.ExchangeAsync(Get);
        await Eventually.BeTrueAsync(() => backend.Accepted >= 1, "it connects");
        await Eventually.BeTrueAsync(
            () => backend.Connections[1].Seen.Any(frame => frame is { Type: Settings, Flags: Ack }), "the limit is known");
        await Task.Delay(TimeSpan.FromMilliseconds(300), TimeProvider.System); // Time enough to open many.
        var opened = backend.Accepted;
        raised.SetResult();

        (await answer).Should().StartWith("HTTP/1.1 200");
        opened.Should().BeLessThanOrEqualTo(3);
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task Limit_LoweredWhileStreamsRun_LetsNoneStartUntilEnoughHaveEnded()
    {
        var requests = new ConcurrentQueue<(int Connection, int Stream)>();
        await using var backend = new Http2Server(async (peer, number) =>
        {
            while (await peer.ReadRequestAsync() is { } request)
            {
                requests.Enqueue((number, request.Stream));
                if (number > 1)
                {
                    await peer.AnswerAsync(request.Stream, "another connection");
                }
            }
        });
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);
        for (var stream = 1; stream <= 5; stream += 2)
        {
            await client.SendRequestAsync(stream, [.. Call]);
        }
        await Eventually.BeTrueAsync(() => requests.Count == 3, "three streams run");
        requests.Should().OnlyContain(request => request.Connection == 1);

        await backend.Connections[1].SendTextAsync(Frame(Settings, 0, 0, SettingsOf((3, 1))));
        await Eventually.BeTrueAsync(
            () => backend.Connections[1].Seen.Count(frame => frame is { Type: Settings, Flags: Ack }) == 2, "the limit is known");
        await client.SendRequestAsync(7, [.. Call]);

        (await client.ReadFrameAsync(Data))!.Value.Should().Be((7, "another connection"));
        foreach (var (_, stream) in requests.Where(request => request.Connection == 1))
        {
            await backend.Connections[1].AnswerAsync(stream, "late");
            (await client.ReadFrameAsync(Data))!.Value.Payload.Should().Be("late");
        }
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task Limit_WithClientsThatGoAway_FreesTheirStreams()
    {
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                while (await peer.ReadRequestAsync() is { } request)
                {
                    if (request[":path"] == "/quick")
                    {
                        await peer.AnswerAsync(request.Stream, "ok");
                    }
                }
            },
            SettingsOf((3, 2)));
        await using var node = await StartAsync(backend, "2.0");
        for (var i = 0; i < 50; i++)
        {
            using var client = await Http2Peer.ConnectAsync(node.Port);
            await client.SendRequestAsync(1, [.. Call]);
            await client.SendRequestAsync(3, [.. Call]);
            await Eventually.BeTrueAsync(
                () => backend.Connections.Values.Sum(peer => peer.Seen.Count(frame => frame.Type == Headers)) == 2 * i + 2,
                "they are there");
        }

        await node.ShouldHaveFailedAsync(0);
        using var last = await Http2Peer.ConnectAsync(node.Port);
        await last.SendRequestAsync(1, (":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/quick"));
        (await last.ReadFrameAsync(Data))!.Value.Payload.Should().Be("ok");
        backend.Accepted.Should().BeLessThan(10);
    }
}
