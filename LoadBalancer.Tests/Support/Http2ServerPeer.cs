using System.Collections.Concurrent;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// The backend's end of an HTTP/2 connection. Reading acknowledges SETTINGS and, unless told otherwise, PING; it keeps every frame that
/// came.
/// </summary>
internal sealed class Http2ServerPeer(RawPeer peer) : Http2Wire(peer)
{
    /// <summary>Every frame that was read.</summary>
    public ConcurrentQueue<Http2Frame> Seen { get; } = [];

    /// <summary>Whether it answers a PING.</summary>
    public bool AnswersPings { get; set; } = true;

    /// <summary>Reads the client's preface, and sends SETTINGS with this payload unless it is null.</summary>
    public async Task<bool> BeginAsync(string? settings)
    {
        var begin = await Peer.ReadAsync(Preface.Length);
        if (begin.Length < Preface.Length)
        {
            return false;
        }
        begin.Should().Be(Preface, "nothing comes before it");
        if (settings is not null)
        {
            await SendFrameAsync(Settings, 0, 0, settings);
        }
        return true;
    }

    /// <summary>Reads the next frame.</summary>
    public async Task<Http2Frame?> NextAsync()
    {
        var frame = await NextFrameAsync();
        if (frame is null)
        {
            return null;
        }
        Seen.Enqueue(frame);
        if (frame is { Type: Settings, Flags: 0 })
        {
            await SendFrameAsync(Settings, Ack, 0, "");
        }
        else if (frame is { Type: Ping, Flags: 0 } && AnswersPings)
        {
            await SendFrameAsync(Ping, Ack, 0, frame.Payload);
        }
        return frame;
    }

    /// <summary>Reads frames until one of these types comes; null where the connection ends first.</summary>
    public async Task<Http2Frame?> NextAsync(params byte[] types)
    {
        while (await NextAsync() is { } frame)
        {
            if (types.Contains(frame.Type))
            {
                return frame;
            }
        }
        return null;
    }

    /// <summary>Reads frames until the head of a request is complete; null where the connection ends first.</summary>
    public async Task<Http2Request?> ReadRequestAsync()
    {
        if (await NextAsync(Headers) is not { } start)
        {
            return null;
        }
        var block = start.Payload;
        for (var last = start; (last.Flags & EndHeaders) == 0;)
        {
            last = await NextAsync() ?? throw new AssertionException("a field section without an end");
            (last.Type, last.Stream).Should().Be((Continuation, start.Stream), "nothing comes between");
            block += last.Payload;
        }
        return new Http2Request(start.Stream, start.IsEnd, HpackText.Decode(block));
    }

    /// <summary>Reads the rest of a stream's body, and makes room for as much again.</summary>
    /// <returns>Null where it is reset, or the connection ends.</returns>
    public async Task<string?> ReadBodyAsync(int stream)
    {
        var body = "";
        while (await NextAsync(Data, Headers, RstStream) is { } frame)
        {
            if (frame.Stream != stream)
            {
                continue;
            }
            if (frame.Type == RstStream)
            {
                return null;
            }
            body += frame.Type == Data ? frame.Payload : "";
            if (frame.IsEnd)
            {
                return body;
            }
            if (frame.Payload.Length > 0)
            {
                await SendTextAsync(Frame(WindowUpdate, 0, 0, Number(frame.Payload.Length))
                    + Frame(WindowUpdate, 0, stream, Number(frame.Payload.Length)));
            }
        }
        return null;
    }

    /// <summary>Reads until the connection ends.</summary>
    public async Task ReadToEndAsync()
    {
        while (await NextAsync() is not null)
        {
        }
    }

    /// <summary>Sends a head.</summary>
    public Task SendHeadAsync(int stream, int status = 200, bool isEnd = false, params (string Name, string Value)[] fields) =>
        SendTextAsync(Head(stream, status, isEnd, fields));

    /// <summary>Answers with 200 and a body.</summary>
    public Task AnswerAsync(int stream, string body) =>
        SendTextAsync(Head(stream) + Frame(Data, EndStream, stream, body));

    /// <summary>Ends a stream with an error.</summary>
    public Task ResetAsync(int stream, int code) => SendFrameAsync(RstStream, 0, stream, Number(code));

    /// <summary>Says that streams above the last one are not processed.</summary>
    public Task GoAwayAsync(int last, int code = 0) => SendFrameAsync(GoAway, 0, 0, Number(last) + Number(code));

    /// <summary>The bytes of a response's head.</summary>
    public static string Head(int stream, int status = 200, bool isEnd = false, params (string Name, string Value)[] fields) =>
        Frame(Headers, (byte)(EndHeaders | (isEnd ? EndStream : 0)), stream, Encode([(":status", $"{status}"), .. fields]));
}
