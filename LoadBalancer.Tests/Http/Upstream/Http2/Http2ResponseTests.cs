using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>Responses of an HTTP/2 backend on their way to HTTP/1.1 and HTTP/2 clients, however they are cut into frames.</summary>
internal sealed class Http2ResponseTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace
    private const int NoError = 0, Cancel = 8;

    private static readonly string Block = Encode((":status", "200"), ("x-one", "1"), ("content-length", "2"));

    private static IEnumerable<TestCaseData> OddButValid()
    {
        var body = Frame(Data, EndStream, 1, "ok");
        var head = Frame(Headers, EndHeaders, 1, Block);
        yield return Case("plain", head + body);
        for (var at = 0; at <= Block.Length; at += Block.Length / 4)
        {
            yield return Case(
                $"CONTINUATION from byte {at}", Frame(Headers, 0, 1, Block[..at]) + Frame(Continuation, EndHeaders, 1, Block[at..]) + body);
        }
        yield return Case("CONTINUATION for each byte",
            Frame(Headers, 0, 1) + string.Concat(Block.Select(c => Frame(Continuation, 0, 1, c.ToString())))
            + Frame(Continuation, EndHeaders, 1) + body);
        yield return Case("padding", Frame(Headers, EndHeaders | Padded, 1, "\u0003" + Block + "xyz")
            + Frame(Data, Padded, 1, "\u0002oxx") + Frame(Data, Padded | EndStream, 1, "\0k"));
        yield return Case("nothing but padding", head + Frame(Data, Padded, 1, "\u0004xxxx") + body);
        yield return Case("priority", Frame(Headers, EndHeaders | HasPriority, 1, Number(0) + "\u0010" + Block)
            + Frame(Priority, 0, 1, Number(0) + "\u0010") + body);
        yield return Case(
            "priority, padded", Frame(Headers, EndHeaders | HasPriority | Padded, 1, "\u0001" + Number(0) + "\u0010" + Block + "x") + body);
        yield return Case("priority of an idle stream", Frame(Priority, 0, 99, Number(0) + "\u0010") + head + body);
        yield return Case("unknown frames", Frame(0x42, 0xff, 0, "any") + Frame(0xfe, 0, 1, "any") + head + Frame(0x42, 0xff, 1) + body);
        yield return Case("unknown settings", Frame(Settings, 0, 0, SettingsOf((0x42, 1), (9, 0xffff_ffff))) + head + body);
        yield return Case(
            "empty DATA", head + string.Concat(Enumerable.Repeat(Frame(Data, 0, 1), 500))
            + Frame(Data, 0, 1, "ok") + Frame(Data, EndStream, 1));
        yield return Case("interim responses", Interim("100") + Interim("103") + Interim("102") + head + body);
        yield return Case("a hundred interim responses", string.Concat(Enumerable.Repeat(Interim("103"), 100)) + head + body);
        yield return Case("PING", Frame(Ping, 0, 0, "12345678") + head + Frame(Ping, 0, 0, "12345678") + body);
        yield return Case("answer to a PING that nobody sent", Frame(Ping, Ack, 0, "12345678") + head + body);
        yield return Case("SETTINGS again", Frame(Settings, 0, 0, SettingsOf((4, 0), (5, 0xff_ffff), (1, 0), (2, 0))) + head + body);
        yield return Case("reserved bit", Frame(Headers, EndHeaders, unchecked((int)0x8000_0001), Block) + body);
        yield return Case("unknown flags", Frame(Headers, EndHeaders | 0xd2, 1, Block) + Frame(Data, EndStream | 0xf6, 1, "ok"));
        yield return Case("reset without error after the end", head + body + Frame(RstStream, 0, 1, Number(NoError)));
        yield return Case("trailers", head + Frame(Data, 0, 1, "ok") + Frame(Headers, EndHeaders | EndStream, 1, Encode(("x-sum", "1"))));
        yield return Case("table size update", Frame(Headers, EndHeaders, 1, "\u0020\u003f\u00e1\u001f" + Block) + body);
        yield return Case("window of the stream up to the most", Frame(WindowUpdate, 0, 1, Number(int.MaxValue - 65_535)) + head + body);

        static string Interim(string status) => Frame(Headers, EndHeaders, 1, Encode((":status", status), ("link", "</a>")));
    }

    [TestCaseSource(nameof(OddButValid))]
    public async Task Response_OddButValid_ArrivesWhole(string frames)
    {
        foreach (var isSlow in new[] { false, true })
        {
            await using var backend = new Http2Server(async (peer, _) =>
            {
                await peer.ReadRequestAsync();
                await (isSlow ? peer.Peer.SendByteByByteAsync(frames) : peer.SendTextAsync(frames));
                await peer.ReadToEndAsync();
            });
            await using var node = await StartAsync(backend);

            var answer = await node.ExchangeAsync(Get);

            answer.Should().StartWith("HTTP/1.1 200 OK\r\n").And.Contain("x-one: 1\r\n").And.EndWith("\r\n\r\nok");
            await node.ShouldHaveFailedAsync(0);
            backend.Connections[1].Seen.Should().NotContain(frame => frame.Type == RstStream || frame.Type == GoAway);
        }
    }

    [Test]
    public async Task TrailersOnly_Http2Client_GetsOneFrame([Values(200, 404)] int status)
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            while (await peer.ReadRequestAsync() is { } request)
            {
                await peer.SendHeadAsync(request.Stream, status, true, ("content-type", "application/grpc"), ("grpc-status", "5"));
            }
        });
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(Headers, EndHeaders, 1, Encode(Call));
        await client.SendFrameAsync(Data, EndStream, 1, "request");
        var frames = await ReadStreamAsync(client, 1);

        frames.Should().ContainSingle().Which.IsEnd.Should().BeTrue();
        frames[0].Type.Should().Be(Headers);
        frames[0].Payload.Should().Contain("grpc-status");
    }

    [Test]
    public async Task TrailersOnly_AmidAnUpload_KeepsItsStatus([Values] bool isSlow)
    {
        var reset = new TaskCompletionSource<Http2Frame?>();
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.NextAsync(Data);
            await peer.SendHeadAsync(request!.Stream, 200, true, ("content-type", "application/grpc"), ("grpc-status", "3"));
            if (isSlow)
            {
                reset.SetResult(await peer.NextAsync(RstStream)); // We end it where the backend does not.
            }
            else
            {
                await peer.ResetAsync(request.Stream, NoError);
            }
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(Headers, EndHeaders, 1, Encode(Call));
        await client.SendFrameAsync(Data, 0, 1, new string('a', 10_000));
        var frames = await ReadStreamAsync(client, 1);

        frames[0].Type.Should().Be(Headers);
        frames[0].IsEnd.Should().BeTrue();
        frames[0].Payload.Should().Contain("grpc-status");
        frames.Skip(1).Should().NotContain(frame => frame.Type != RstStream || frame.NumberAt(0) != NoError);
        if (isSlow)
        {
            (await reset.Task)!.NumberAt(0).Should().BeOneOf(NoError, Cancel);
        }
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task Answer_AmidAnUploadThenReset_KeepsItsStatus([Values(400, 413, 200)] int status)
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.NextAsync(Data);
            await peer.SendTextAsync(Http2ServerPeer.Head(request!.Stream, status) + Frame(Data, EndStream, request.Stream, "enough")
                + Frame(RstStream, 0, request.Stream, Number(NoError)));
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(Post(1_000_000)[..500_000]);

        (await client.ReadUntilAsync("enough")).Should().StartWith($"HTTP/1.1 {status}");
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task Reset_AmidTheBody_ReachesAnHttp2ClientWithItsCode()
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.SendTextAsync(Http2ServerPeer.Head(request!.Stream) + Frame(Data, 0, request.Stream, "half"));
            await peer.NextAsync(Data);
            await peer.ResetAsync(request.Stream, 11);
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, "2.0");
        using var client = await Http2Peer.ConnectAsync(node.Port);
        await client.SendFrameAsync(Headers, EndHeaders, 1, Encode(Call));
        (await client.ReadFrameAsync(Data))!.Value.Payload.Should().Be("half");
        await client.SendFrameAsync(Data, 0, 1, "go on");

        (await client.ReadFrameAsync(RstStream))!.Value.Payload.Should().Be(Number(11));
        await node.ShouldHaveFailedAsync(1);
    }

    [Test]
    public async Task Fields_SentTwice_ArriveTwiceInOrder([Values("1.1", "2.0")] string version)
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            await peer.SendHeadAsync(request!.Stream, 200, true,
                ("trace-bin", "AAEC"), ("set-cookie", "a=1"), ("x-high", "\u00e9\u00ff"), ("trace-bin", "AwQF"),
                ("set-cookie", "b=2"), ("x-empty", ""));
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, version);
        using var client = new HttpClient(TestNode.NewHandler()) { BaseAddress = node.Client.BaseAddress };
        using var request = new HttpRequestMessage(HttpMethod.Get, "/")
        {
            Version = Version.Parse(version),
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };

        using var response = await client.SendAsync(request);

        response.Headers.GetValues("trace-bin").Should().Equal("AAEC", "AwQF");
        response.Headers.GetValues("set-cookie").Should().Equal("a=1", "b=2");
        response.Headers.GetValues("x-empty").Should().Equal("");
    }

    private static TestCaseData Case(string name, string frames) => new TestCaseData(frames).SetArgDisplayNames(name);

    // All frames of a stream, up to its end; one more where a reset follows.
    private static async Task<List<Http2Frame>> ReadStreamAsync(Http2Peer client, int stream)
    {
        var frames = new List<Http2Frame>();
        while (frames is not [.., { IsEnd: true }])
        {
            var frame = await client.NextFrameAsync() ?? throw new AssertionException("the connection ended");
            if (frame.Stream == stream && frame.Type is Headers or Data or RstStream)
            {
                frames.Add(frame);
            }
        }
        return frames;
    }
}
