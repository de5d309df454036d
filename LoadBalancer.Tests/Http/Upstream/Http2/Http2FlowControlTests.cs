using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>Flow control in both directions (RFC 9113 section 5.2).</summary>
internal sealed class Http2FlowControlTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace
    private const int DefaultWindow = 65_535;

    [Test]
    public async Task Upload_TinyWindows_ArrivesWholeAndNeverTooMuch([Values(1, 7, 100)] int window)
    {
        var body = "";
        var most = 0;
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                var request = await peer.ReadRequestAsync();
                await peer.SendHeadAsync(request!.Stream, 100); // The SETTINGS are known before it.
                while (await peer.NextAsync(Data) is { } frame)
                {
                    most = Math.Max(most, frame.Payload.Length);
                    body += frame.Payload;
                    if (frame.IsEnd)
                    {
                        break;
                    }
                    await peer.SendTextAsync(Frame(WindowUpdate, 0, request!.Stream, Number(window)));
                }
                await peer.AnswerAsync(request!.Stream, "ok");
                await peer.ReadToEndAsync();
            },
            SettingsOf((4, window)));
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(PostWhenAsked(300));

        (await client.ReadToEndAsync()).Should().Contain("HTTP/1.1 200");
        body.Should().Be(new string('p', 300));
        most.Should().BeLessThanOrEqualTo(window);
    }

    [Test]
    public async Task Upload_WindowOf0_WaitsUntilItIsRaised([Values("SETTINGS", "WINDOW_UPDATE")] string how)
    {
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                var request = await peer.ReadRequestAsync();
                await peer.SendHeadAsync(request!.Stream, 100); // The SETTINGS are known before it.
                await peer.SendFrameAsync(Ping, 0, 0, "12345678");
                (await peer.NextAsync(Data, Ping))!.Type.Should().Be(Ping, "there is no room for DATA");
                await peer.SendTextAsync(how == "SETTINGS"
                    ? Frame(Settings, 0, 0, SettingsOf((4, 10))) : Frame(WindowUpdate, 0, request!.Stream, Number(10)));
                (await peer.ReadBodyAsync(request!.Stream)).Should().Be("pppppppppp");
                await peer.AnswerAsync(request.Stream, "ok");
                await peer.ReadToEndAsync();
            },
            SettingsOf((4, 0)));
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(PostWhenAsked(10));

        (await client.ReadToEndAsync()).Should().Contain("HTTP/1.1 200").And.Contain("ok");
    }

    [Test]
    public async Task Upload_WindowMadeNegative_WaitsUntilItIsPositiveAgain()
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.SendHeadAsync(request!.Stream, 100); // The SETTINGS are known before it.
            for (var received = 0; received < DefaultWindow;)
            {
                received += (await peer.NextAsync(Data))!.Payload.Length;
            }
            // The window was used up; now it is -65,435, and there is room on the connection.
            await peer.SendTextAsync(Frame(Settings, 0, 0, SettingsOf((4, 100))) + Frame(WindowUpdate, 0, 0, Number(1_000_000))
                + Frame(WindowUpdate, 0, request!.Stream, Number(65_435)) + Frame(Ping, 0, 0, "12345678"));
            (await peer.NextAsync(Data, Ping))!.Type.Should().Be(Ping, "the window is 0 now");
            await peer.SendFrameAsync(WindowUpdate, 0, request.Stream, Number(5));
            (await peer.NextAsync(Data))!.Payload.Should().HaveLength(5);
            await peer.SendFrameAsync(WindowUpdate, 0, request.Stream, Number(1_000_000));
            (await peer.ReadBodyAsync(request.Stream)).Should().HaveLength(100_000 - DefaultWindow - 5);
            await peer.AnswerAsync(request.Stream, "ok");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(PostWhenAsked(100_000));

        (await client.ReadToEndAsync()).Should().Contain("HTTP/1.1 200").And.Contain("ok");
    }

    [Test]
    public async Task Upload_LargerFramesAllowed_AreKeptToWhatIsAllowed([Values(16_384, 20_000)] int largest)
    {
        var most = 0;
        await using var backend = new Http2Server(
            async (peer, _) =>
            {
                var request = await peer.ReadRequestAsync();
                await peer.SendHeadAsync(request!.Stream, 100); // The SETTINGS are known before it.
                await peer.ReadBodyAsync(request!.Stream);
                most = peer.Seen.Max(frame => frame.Payload.Length);
                await peer.AnswerAsync(request.Stream, "ok");
                await peer.ReadToEndAsync();
            },
            SettingsOf((5, largest)));
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(PostWhenAsked(200_000));

        (await client.ReadToEndAsync()).Should().Contain("HTTP/1.1 200");
        most.Should().BeLessThanOrEqualTo(largest);
    }

    // The last, empty frame of a body needs no room.
    [Test]
    public async Task Upload_WindowUsedUpByTheBody_IsEndedAllTheSame()
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            var body = "";
            while (await peer.NextAsync(Data) is { } frame)
            {
                body += frame.Payload;
                if (frame.IsEnd)
                {
                    break; // Without any room made.
                }
            }
            await peer.AnswerAsync(request!.Stream, $"{body.Length} bytes");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        var head = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";

        await client.SendAsync($"{head}ffff\r\n{new string('p', DefaultWindow)}\r\n");
        await Eventually.BeTrueAsync(() => backend.Connections.TryGetValue(1, out var peer)
            && peer.Seen.Where(frame => frame.Type == Data).Sum(frame => frame.Payload.Length) == DefaultWindow, "the window is used up");
        await client.SendAsync("0\r\n\r\n");

        (await client.ReadToEndAsync()).Should().Contain("65535 bytes");
    }

    [Test]
    public async Task Response_ClientThatDoesNotRead_HoldsUpNoOtherOnTheSameConnection()
    {
        const int Total = 8 * 1024 * 1024;
        var sent = 0;
        var stopped = false;
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var slow = await peer.ReadRequestAsync();
            await peer.SendHeadAsync(slow!.Stream);
            var room = (int)WindowOf(peer);
            var sending = SendAllAsync();
            while (await peer.NextAsync() is { } frame)
            {
                if (frame is { Type: WindowUpdate } && frame.Stream == slow.Stream)
                {
                    Interlocked.Add(ref room, (int)frame.NumberAt(0));
                }
                else if (frame.Type == Headers)
                {
                    await peer.AnswerAsync(frame.Stream, "quick");
                }
            }
            await sending;

            async Task SendAllAsync()
            {
                while (sent < Total)
                {
                    await Eventually.BeTrueAsync(() => Volatile.Read(ref room) >= 16_384 || Volatile.Read(ref stopped), "there is room");
                    if (Volatile.Read(ref stopped))
                    {
                        return;
                    }
                    await peer.SendFrameAsync(Data, 0, slow.Stream, new string('s', 16_384));
                    Interlocked.Add(ref room, -16_384);
                    Interlocked.Add(ref sent, 16_384);
                }
            }
        });
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);

        // An HTTP/2 client with a window of 64 KiB that is never opened again.
        await client.SendRequestAsync(1, [.. Call]);
        await Eventually.BeTrueAsync(() => Volatile.Read(ref sent) >= 64 * 1024, "the slow stream fills");
        await client.SendFrameAsync(WindowUpdate, 0, 0, Number(1_000_000));
        for (var stream = 3; stream < 23; stream += 2)
        {
            await client.SendRequestAsync(stream, [.. Call]);
            (await ReadDataAsync(client, stream)).Should().Be("quick");
        }

        Volatile.Read(ref sent).Should().BeLessThan(Total / 4, "the backend is held back");
        backend.Accepted.Should().Be(1);
        Volatile.Write(ref stopped, true);
    }

    [Test]
    public async Task Response_ClientThatKeepsUp_MakesTheWindowGrow()
    {
        const int Total = 12 * 1024 * 1024;
        var largest = 0L;
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.SendHeadAsync(request!.Stream);
            var room = WindowOf(peer);
            var all = DefaultWindow
                + peer.Seen.Where(frame => frame is { Type: WindowUpdate, Stream: 0 }).Sum(frame => frame.NumberAt(0));
            var piece = new string('a', 16_384);
            for (var sent = 0; sent < Total;)
            {
                var burst = (int)Math.Min(Math.Min(room, all), Total - sent) / piece.Length;
                largest = Math.Max(largest, (long)burst * piece.Length);
                for (var i = 0; i < burst; i++)
                {
                    await peer.SendFrameAsync(Data, 0, request.Stream, piece);
                }
                (sent, room, all) = (sent + burst * piece.Length, room - burst * piece.Length, all - burst * piece.Length);
                if (sent < Total)
                {
                    var update = await peer.NextAsync(WindowUpdate);
                    all += update!.Stream == 0 ? update.NumberAt(0) : 0;
                    room += update.Stream == 0 ? 0 : update.NumberAt(0);
                }
            }
            await peer.SendFrameAsync(Data, EndStream, request.Stream, "");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);

        using var response = await node.Client.GetAsync(new Uri("/", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead);
        await using var body = await response.Content.ReadAsStreamAsync();
        var buffer = new byte[256 * 1024];
        var total = 0;
        while (await body.ReadAsync(buffer) is > 0 and var count)
        {
            total += count;
        }

        total.Should().Be(Total);
        largest.Should().BeGreaterThan(2_500_000, "1 Gbit/s for 20 ms must be under way at once");
    }

    [Test]
    public async Task Response_NothingButPadding_MakesRoomAgain()
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.SendHeadAsync(request!.Stream);
            var room = WindowOf(peer);
            for (var sent = 0; sent < 1024 * 1024; sent += 256)
            {
                while (room < 256)
                {
                    var update = await peer.NextAsync(WindowUpdate);
                    room += update!.Stream == request.Stream ? update.NumberAt(0) : 0;
                }
                await peer.SendFrameAsync(Data, Padded, request.Stream, "\u00ff" + new string('\0', 255));
                room -= 256;
            }
            await peer.SendFrameAsync(Data, EndStream, request.Stream, "end");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200").And.EndWith("\r\n3\r\nend\r\n0\r\n\r\n");
    }

    [Test]
    public async Task Response_MoreThanTheWindow_IsAFlowControlError()
    {
        Http2Frame? reset = null;
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.SendHeadAsync(request!.Stream);
            for (var sent = 0; sent < 4 * 1024 * 1024; sent += 16_384) // The window may have been announced anew once, and grown.
            {
                await peer.SendFrameAsync(Data, 0, request.Stream, new string('a', 16_384));
            }
            reset = await peer.NextAsync(RstStream, GoAway);
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, [.. Call]); // Its own window is 64 KiB, so little is read.
        await Eventually.BeTrueAsync(() => Volatile.Read(ref reset) is not null, "the stream is reset");
        await client.SendFrameAsync(WindowUpdate, 0, 0, Number(1_000_000_000));
        await client.SendFrameAsync(WindowUpdate, 0, 1, Number(1_000_000_000));

        (await client.ReadFrameAsync(RstStream)).Should().NotBeNull("the client must see that the response is not whole");
        (reset!.Type, reset.NumberAt(0)).Should().Be((RstStream, 3));
        await node.ShouldHaveFailedAsync(1);
    }

    [Test]
    public async Task Response_ManyStreamsThatAreNotWanted_UseNoWindowUp()
    {
        // 64 responses of 256 KiB are cut off by their clients. What they took of the connection's window must come back.
        await using var backend = new Http2Server(async (peer, _) =>
        {
            long room = DefaultWindow;
            while (await peer.NextAsync() is { } frame)
            {
                room += frame is { Type: WindowUpdate, Stream: 0 } ? frame.NumberAt(0) : 0;
                if (frame.Type != Headers)
                {
                    continue;
                }
                await peer.SendHeadAsync(frame.Stream);
                for (var i = 0; i < 16; i++)
                {
                    room -= 16_384;
                    await peer.SendFrameAsync(Data, 0, frame.Stream, new string('a', 16_384));
                }
                room.Should().BePositive();
            }
        });
        await using var node = await StartAsync(backend, "2.0");
        for (var i = 0; i < 128; i++)
        {
            using var client = await Http2Peer.ConnectAsync(node.Port);
            await client.SendRequestAsync(1, [.. Call]);
            (await client.ReadFrameAsync(Data)).Should().NotBeNull();
        }

        backend.Accepted.Should().BeLessThanOrEqualTo(Environment.ProcessorCount, "each event loop has a connection");
        await node.ShouldHaveFailedAsync(0);
        backend.Connections[1].Seen.Where(frame => frame is { Type: WindowUpdate, Stream: 0 }).Skip(1).Should().NotBeEmpty();
    }

    private static long WindowOf(Http2ServerPeer peer)
    {
        var settings = peer.Seen.First(frame => frame is { Type: Settings, Flags: 0 });
        return Enumerable.Range(0, settings.Payload.Length / 6)
            .Where(i => settings.Payload[6 * i + 1] == 4).Select(i => settings.NumberAt(6 * i + 2)).Single();
    }

    private static async Task<string> ReadDataAsync(Http2Peer client, int stream)
    {
        var body = "";
        while (await client.NextFrameAsync() is { } frame)
        {
            if (frame.Stream == stream && frame.Type == Data)
            {
                body += frame.Payload;
                if (frame.IsEnd)
                {
                    return body;
                }
            }
        }
        throw new AssertionException("the connection ended");
    }
}
