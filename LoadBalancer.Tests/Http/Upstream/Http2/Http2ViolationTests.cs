using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>What a backend must not do over HTTP/2 (RFC 9113): what the client gets, and what the backend is told.</summary>
internal sealed class Http2ViolationTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace
    private const int ProtocolError = 1, FlowControlError = 3, FrameSizeError = 6, CompressionError = 9, EnhanceYourCalm = 11;

    private static readonly string Ok = Encode((":status", "200"));

    /// <summary>Faults of one stream: the connection goes on.</summary>
    private static IEnumerable<TestCaseData> StreamFaults()
    {
        yield return Case("no status", Head([("a", "b")]));
        yield return Case("no field at all", Frame(Headers, EndHeaders | EndStream, 1));
        yield return Case("two statuses", Head([(":status", "200"), (":status", "200")]));
        yield return Case("status after a field", Head([("a", "b"), (":status", "200")]));
        yield return Case("status of four digits", Head([(":status", "2000")]));
        yield return Case("status that is no number", Head([(":status", "2x0")]));
        yield return Case("status below 100", Head([(":status", "099")]));
        yield return Case("pseudo-field of requests", Head([(":status", "200"), (":path", "/")]));
        yield return Case("unknown pseudo-field", Head([(":status", "200"), (":x", "y")]));
        yield return Case("upper case", Head([(":status", "200"), ("X-Upper", "a")]));
        yield return Case("empty name", Head([(":status", "200"), ("", "a")]));
        yield return Case("space in a name", Head([(":status", "200"), ("a b", "a")]));
        yield return Case("colon in a name", Head([(":status", "200"), ("a:b", "a")]));
        yield return Case("line end in a value", Head([(":status", "200"), ("a", "b\r\nX-Injected: 1")]));
        yield return Case("zero byte in a value", Head([(":status", "200"), ("a", "b\0c")]));
        yield return Case("Connection", Head([(":status", "200"), ("connection", "close")]));
        yield return Case("Keep-Alive", Head([(":status", "200"), ("keep-alive", "5")]));
        yield return Case("Proxy-Connection", Head([(":status", "200"), ("proxy-connection", "close")]));
        yield return Case("Transfer-Encoding", Head([(":status", "200"), ("transfer-encoding", "chunked")]));
        yield return Case("Upgrade", Head([(":status", "200"), ("upgrade", "h2c")]));
        yield return Case("two lengths", Head([(":status", "200"), ("content-length", "2"), ("content-length", "2")]));
        yield return Case("length that is none", Head([(":status", "200"), ("content-length", "+2")]));
        yield return Case("interim response at the end", Head([(":status", "103")], isEnd: true));
        yield return Case("101", Head([(":status", "101")], isEnd: false));
        yield return Case("too many interim responses",
            string.Concat(Enumerable.Repeat(Head([(":status", "103")], isEnd: false), 101)) + Head([(":status", "200")]));
        yield return Case("body before the head", Frame(Data, EndStream, 1, "ok"));
        yield return Case("head of more than 64 KiB", BigHead(700));
        yield return Case("stream window overflow", Frame(WindowUpdate, 0, 1, Number(int.MaxValue)), FlowControlError);
        yield return Case("empty window update", Frame(WindowUpdate, 0, 1, Number(0)));
    }

    /// <summary>Faults of a stream after its head: the client sees that the response is not whole.</summary>
    private static IEnumerable<TestCaseData> BodyFaults()
    {
        var head = Frame(Headers, EndHeaders, 1, Ok);
        var sized = Frame(Headers, EndHeaders, 1, Encode((":status", "200"), ("content-length", "4")));
        yield return Case("body longer than its length", sized + Frame(Data, 0, 1, "half!"));
        yield return Case("body shorter than its length", sized + Frame(Data, EndStream, 1, "hal"));
        yield return Case("body shorter than its length, with trailers",
            sized + Frame(Data, 0, 1, "hal") + Frame(Headers, EndHeaders | EndStream, 1, Encode(("a", "b"))));
        yield return Case("length of no body", Head([(":status", "200"), ("content-length", "2")]));
        yield return Case("second head", head + Frame(Data, 0, 1, "half") + Frame(Headers, EndHeaders, 1, Ok));
        yield return Case("trailers that do not end it",
            head + Frame(Data, 0, 1, "half") + Frame(Headers, EndHeaders, 1, Encode(("a", "b"))));
        yield return Case("trailers with a status", head + Frame(Data, 0, 1, "half") + Frame(Headers, EndHeaders | EndStream, 1, Ok));
        yield return Case("trailers in upper case",
            head + Frame(Data, 0, 1, "half") + Frame(Headers, EndHeaders | EndStream, 1, Encode(("A", "b"))));
        yield return Case("interim response in the body", head + Frame(Data, 0, 1, "half")
            + Frame(Headers, EndHeaders, 1, Encode((":status", "103"))));
    }

    /// <summary>Faults of the connection: it is closed, with GOAWAY.</summary>
    private static IEnumerable<TestCaseData> ConnectionFaults()
    {
        yield return Case("DATA on stream 0", Frame(Data, 0, 0, "a"));
        yield return Case("HEADERS on stream 0", Frame(Headers, EndHeaders, 0, Ok));
        yield return Case("PRIORITY on stream 0", Frame(Priority, 0, 0, "\0\0\0\0\0"));
        yield return Case("RST_STREAM on stream 0", Frame(RstStream, 0, 0, Number(0)));
        yield return Case("CONTINUATION on stream 0", Frame(Continuation, EndHeaders, 0));
        yield return Case("SETTINGS on a stream", Frame(Settings, 0, 1));
        yield return Case("PING on a stream", Frame(Ping, 0, 1, "12345678"));
        yield return Case("GOAWAY on a stream", Frame(GoAway, 0, 1, Number(0) + Number(0)));
        yield return Case("DATA on an idle stream", Frame(Data, 0, 3, "a"));
        yield return Case("HEADERS on an idle stream", Frame(Headers, EndHeaders | EndStream, 3, Ok));
        yield return Case("HEADERS on a stream of the server's", Frame(Headers, EndHeaders | EndStream, 2, Ok));
        yield return Case("RST_STREAM of an idle stream", Frame(RstStream, 0, 5, Number(0)));
        yield return Case("WINDOW_UPDATE of an idle stream", Frame(WindowUpdate, 0, 5, Number(1)));
        yield return Case("PUSH_PROMISE", Frame(PushPromise, EndHeaders, 1, Number(2) + Ok));
        yield return Case("ENABLE_PUSH of a server", Frame(Settings, 0, 0, SettingsOf((2, 1))));
        yield return Case("window of SETTINGS too large", Frame(Settings, 0, 0, SettingsOf((4, 0x8000_0000))), FlowControlError);
        yield return Case("window of SETTINGS makes one too large",
            Frame(WindowUpdate, 0, 1, Number(int.MaxValue - 65_535)) + Frame(Settings, 0, 0, SettingsOf((4, 65_536))), FlowControlError);
        yield return Case("connection window overflow", Frame(WindowUpdate, 0, 0, Number(int.MaxValue)), FlowControlError);
        yield return Case("connection window update of 0", Frame(WindowUpdate, 0, 0, Number(0)));
        yield return Case("MAX_FRAME_SIZE too small", Frame(Settings, 0, 0, SettingsOf((5, 16_383))));
        yield return Case("MAX_FRAME_SIZE too large", Frame(Settings, 0, 0, SettingsOf((5, 0x100_0000))));
        yield return Case("SETTINGS of a wrong size", Frame(Settings, 0, 0, "12345"), FrameSizeError);
        yield return Case("SETTINGS acknowledged with a payload", Frame(Settings, Ack, 0, SettingsOf((1, 1))), FrameSizeError);
        yield return Case("PING of a wrong size", Frame(Ping, 0, 0, "1234567"), FrameSizeError);
        yield return Case("RST_STREAM of a wrong size", Frame(RstStream, 0, 1, "123"), FrameSizeError);
        yield return Case("PRIORITY of a wrong size", Frame(Priority, 0, 1, "1234"), FrameSizeError);
        yield return Case("WINDOW_UPDATE of a wrong size", Frame(WindowUpdate, 0, 1, "12345"), FrameSizeError);
        yield return Case("GOAWAY of a wrong size", Frame(GoAway, 0, 0, "1234567"), FrameSizeError);
        yield return Case("frame of more than 16 KiB", Frame(Data, 0, 1, new string('a', 16_385)), FrameSizeError);
        yield return Case("unknown frame of more than 16 KiB", Frame(0x42, 0, 1, new string('a', 16_385)), FrameSizeError);
        yield return Case("padding longer than DATA", Frame(Data, Padded, 1, "\u0006hello"));
        yield return Case("padded DATA without a length", Frame(Data, Padded, 1));
        yield return Case("padding longer than HEADERS", Frame(Headers, EndHeaders | Padded, 1, "\u00ff" + Ok));
        yield return Case("HEADERS too short for its priority", Frame(Headers, EndHeaders | HasPriority, 1, "1234"));
        yield return Case("CONTINUATION without HEADERS", Frame(Continuation, EndHeaders, 1, Ok));
        yield return Case("frame between HEADERS and CONTINUATION", Frame(Headers, 0, 1, Ok) + Frame(Ping, 0, 0, "12345678"));
        yield return Case("unknown frame before CONTINUATION", Frame(Headers, 0, 1, Ok) + Frame(0x42, 0, 0, "a"));
        yield return Case("CONTINUATION of another stream", Frame(Headers, 0, 1, Ok) + Frame(Continuation, EndHeaders, 3, Ok));
        yield return Case("CONTINUATION without end",
            Frame(Headers, 0, 1, Ok) + string.Concat(Enumerable.Repeat(Frame(Continuation, 0, 1), 100)), EnhanceYourCalm);
        yield return Case("CONTINUATION of more than 64 KiB",
            Frame(Headers, 0, 1, Ok) + string.Concat(Enumerable.Repeat(Frame(Continuation, 0, 1, new string('a', 16_384)), 5)),
            EnhanceYourCalm);
        yield return Case("invalid HPACK", Frame(Headers, EndHeaders | EndStream, 1, "\u0080"), CompressionError);
        yield return Case("HPACK that is cut off", Frame(Headers, EndHeaders | EndStream, 1, Ok[..^1]), CompressionError);
    }

    [TestCaseSource(nameof(StreamFaults))]
    public async Task Response_FaultOfOneStream_ResetsItAlone(string frames, int code)
    {
        var answer = await AnswerOfAsync(frames, code);

        answer.Should().StartWith("HTTP/1.1 502").And.NotContain("X-Injected").And.Contain("http_protocol_error");
    }

    [TestCaseSource(nameof(BodyFaults))]
    public async Task Response_FaultAfterTheHead_IsVisiblyBroken(string frames, int code)
    {
        var answer = await AnswerOfAsync(frames, code);

        answer.Should().NotEndWith("\r\n0\r\n\r\n", "it must not look complete").And.NotEndWith("\r\n\r\nhalf").And.NotContain("half!");
    }

    [TestCaseSource(nameof(ConnectionFaults))]
    public async Task Connection_Fault_EndsItWithGoAway(string frames, int code)
    {
        var told = new TaskCompletionSource<Http2Frame?>();
        await using var backend = new Http2Server(async (peer, number) =>
        {
            var request = await peer.ReadRequestAsync();
            if (number > 1)
            {
                await peer.AnswerAsync(request!.Stream, "good");
                await peer.ReadToEndAsync();
                return;
            }
            await peer.SendTextAsync(frames);
            told.SetResult(await peer.NextAsync(GoAway));
        });
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502").And.Contain("http_protocol_error");
        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200").And.Contain("good");

        (await told.Task)!.NumberAt(4).Should().Be(code);
        await node.ShouldHaveFailedAsync(1);
    }

    [Test]
    public async Task Frames_AfterTheEndOfAStream_AreIgnored()
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            while (await peer.ReadRequestAsync() is { Stream: var stream })
            {
                await peer.AnswerAsync(stream, "ok");
                await peer.SendTextAsync(
                    Frame(Data, 0, stream, "late") + Frame(RstStream, 0, stream, Number(0)) + Frame(WindowUpdate, 0, stream, Number(1)));
            }
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 6; i++)
        {
            await client.SendAsync(KeepAlive);
            (await client.ReadUntilAsync("0\r\n\r\n")).Should().StartWith("HTTP/1.1 200").And.EndWith("\r\n2\r\nok\r\n0\r\n\r\n");
        }
        backend.Connections.Values.SelectMany(peer => peer.Seen).Should().NotContain(frame => frame.Type == GoAway);
        await node.ShouldHaveFailedAsync(0);
    }

    [Test]
    public async Task Fields_OfAStreamThatWasReset_StillCountForTheTable()
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            await peer.ReadRequestAsync();
            await peer.SendTextAsync(Frame(Data, 0, 1, "early")); // That resets the stream.
            // Its response adds a field to the table all the same.
            await peer.SendFrameAsync(
                Headers, EndHeaders | EndStream, 1, "\u0088\u0040" + HpackText.String("x-kept") + HpackText.String("1"));
            while (await peer.ReadRequestAsync() is { } next)
            {
                await peer.SendFrameAsync(Headers, EndHeaders | EndStream, next.Stream, "\u0088\u00be");
            }
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        var answers = new List<string>();
        for (var i = 0; i < 6; i++) // More than there are connections.
        {
            await client.SendAsync(KeepAlive);
            answers.Add(await client.ReadResponseAsync());
        }

        answers[0].Should().StartWith("HTTP/1.1 502");
        answers[^1].Should().StartWith("HTTP/1.1 200").And.Contain("x-kept: 1\r\n");
    }

    [TestCase(Settings, "")]
    [TestCase(Ping, "12345678")]
    public async Task Connection_FloodWhoseAnswersAreNotTaken_IsClosed(byte type, string payload)
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            await peer.ReadRequestAsync();
            var many = string.Concat(Enumerable.Repeat(Frame(type, 0, 0, payload), 10_000));
            while (true)
            {
                await peer.SendTextAsync(many);
            }
        });
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502").And.Contain("http_protocol_error");
        await node.ShouldHaveFailedAsync(1);
    }

    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", TestName = "An answer in HTTP/1.1")]
    [TestCase("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", TestName = "Another protocol")]
    [TestCase("", TestName = "Nothing, and closed")]
    public async Task Connection_NotHttp2_Is502(string answer)
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadAsync(Preface.Length);
            await peer.SendAsync(answer);
            if (answer.Length > 0)
            {
                await peer.ReadToEndAsync();
            }
        });
        await using var node = await StartAsync([backend.Address]);

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502");
        await node.ShouldHaveFailedAsync(1);
    }

    /// <summary>What the client gets where the backend answers with these frames; the backend's connection goes on.</summary>
    private static async Task<string> AnswerOfAsync(string frames, int code)
    {
        Http2Frame? reset = null;
        await using var backend = new Http2Server(async (peer, number) =>
        {
            var request = await peer.ReadRequestAsync();
            if (number == 1)
            {
                await peer.SendTextAsync(frames);
                reset = await peer.NextAsync(RstStream, GoAway);
                await peer.SendFrameAsync(Ping, 0, 0, "still up");
                await peer.NextAsync(Ping);
            }
            else
            {
                await peer.AnswerAsync(request!.Stream, "good");
            }
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);

        var answer = await node.ExchangeAsync(Get);
        await Eventually.BeTrueAsync(
            () => backend.Connections[1].Seen.Any(frame => frame is { Type: Ping, Flags: Ack }), "the connection goes on");

        (reset!.Type, reset.Stream, reset.NumberAt(0)).Should().Be((RstStream, 1, code));
        await node.ShouldHaveFailedAsync(1);
        return answer;
    }

    private static TestCaseData Case(string name, string frames, int code = ProtocolError) =>
        new TestCaseData(frames, code).SetArgDisplayNames(name);

    private static string Head((string Name, string Value)[] fields, bool isEnd = true) =>
        Frame(Headers, (byte)(EndHeaders | (isEnd ? EndStream : 0)), 1, Encode(fields));

    // Few bytes on the wire: one field of 100 bytes in the table, of which the section has many.
    private static string BigHead(int count) => Frame(Headers, EndHeaders | EndStream, 1,
        "\u0088\u0040" + HpackText.String("x-big") + HpackText.String(new string('a', 95)) + new string('\u00be', count));
}
