using System.Collections.Concurrent;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A backend that behaves as the path of each request asks for, <c>/BEHAVIOUR/ID/LENGTH</c>, well or badly, and checks every byte
/// that it is sent. A body, in either direction, is made of the request's number, so that neither can be taken for another's.
/// </summary>
internal sealed class ChaosServer : IAsyncDisposable
{
    /// <summary>Answers that are whole, whatever is odd about them.</summary>
    public static readonly string[] Good = ["length", "chunked", "close", "drip", "last", "interim", "early", "surplus"];

    /// <summary>Answers of which not even the head is one.</summary>
    public static readonly string[] Headless = ["stall", "reset", "hangup", "garbage", "lengths", "half-head"];

    /// <summary>Answers that begin well and never end well.</summary>
    public static readonly string[] Broken =
        ["short", "short-reset", "mid-chunk", "bad-chunk", "no-last-chunk", "close-reset", "stall-body"];

    private readonly RawServer _server;

    public ChaosServer() => _server = new RawServer((peer, _) => ServeAsync(peer));

    public string Address => _server.Address;

    /// <summary>What was wrong with the requests that came.</summary>
    public ConcurrentQueue<string> Violations { get; } = [];

    /// <summary>The bytes that a request's number stands for.</summary>
    public static byte[] BodyOf(int id, int length)
    {
        var body = new byte[length];
        new Random(id).NextBytes(body);
        return body;
    }

    /// <summary>Resets every connection, and goes on listening.</summary>
    public async Task ResetConnectionsAsync()
    {
        await _server.KillAsync();
        _server.Restart();
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    private async Task ServeAsync(RawPeer peer)
    {
        try
        {
            var stream = peer.Stream;
            var reader = new WireReader(stream);
            while (await reader.ReadRequestHeadAsync() is { } head)
            {
                if (head["Via"]?.EndsWith("1.1 edge", StringComparison.Ordinal) != true
                    && head["Via"]?.EndsWith("1.0 edge", StringComparison.Ordinal) != true)
                {
                    throw new MalformedWireException("a request that did not come through the load balancer: " + head);
                }
                var path = head.StartLine.Split(' ')[1].Split('/');
                var (behaviour, id, length) = path.Length == 4 && int.TryParse(path[2], out var number)
                    && int.TryParse(path[3], out var count) && count is >= 0 and < 1_000_000
                    ? (path[1], number, count)
                    : ("length", 0, 0);
                var isHead = head.StartLine.StartsWith("HEAD ", StringComparison.Ordinal);
                if (behaviour == "early")
                {
                    await AnswerAsync(peer, stream, "length", id, isHead, BodyOf(id, length));
                }
                var body = await reader.ReadRequestBodyAsync(head);
                if (head["X-Whole"] is not null && !body.AsSpan().SequenceEqual(BodyOf(id, length)))
                {
                    throw new MalformedWireException("a body that is another's: " + head);
                }
                if (behaviour != "early" && !await AnswerAsync(peer, stream, behaviour, id, isHead, BodyOf(id, length)))
                {
                    return;
                }
            }
        }
        catch (MalformedWireException e)
        {
            Violations.Enqueue(e.Message);
        }
        catch (IOException)
        {
            // Cut off in the middle: as it should be where the client's request was not whole.
        }
    }

    /// <returns>Whether the connection goes on.</returns>
    private static async Task<bool> AnswerAsync(RawPeer peer, Stream stream, string behaviour, int id, bool isHead, byte[] body)
    {
        var start = $"HTTP/1.1 200 OK\r\nX-Id: {id}\r\n";
        var framed = start + $"Content-Length: {body.Length}\r\n\r\n";
        if (isHead && behaviour is "chunked" or "close" or "drip")
        {
            behaviour = "length";
        }
        var text = isHead ? "" : System.Text.Encoding.Latin1.GetString(body);
        switch (behaviour)
        {
            case "chunked":
                await peer.SendAsync(start + "Transfer-Encoding: chunked\r\n\r\n");
                var random = new Random(id);
                for (var i = 0; i < text.Length;)
                {
                    var step = Math.Min(random.Next(1, 10_000), text.Length - i);
                    await peer.SendAsync($"{step:x}\r\n{text.AsSpan(i, step)}\r\n");
                    i += step;
                }
                await peer.SendAsync("0\r\nX-Trailer: 1\r\n\r\n");
                return true;
            case "close":
                await peer.SendAsync(start + "\r\n" + text);
                return false;
            case "drip":
                await peer.SendByteByByteAsync(framed);
                await peer.SendAsync(text);
                return true;
            case "last": // and does not say so
                await peer.SendAsync(framed + text);
                return false;
            case "interim":
                await peer.SendAsync("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + framed + text);
                return true;
            case "surplus":
                await peer.SendAsync(framed + text + "HTTP/1.1 200 OK\r\nX-Id: -1\r\nContent-Length: 6\r\n\r\npoison");
                return true;
            case "stall":
                await stream.CopyToAsync(Stream.Null);
                return false;
            case "reset":
                peer.Reset();
                return false;
            case "hangup":
                return false;
            case "garbage":
                await peer.SendAsync(text + "\r\n\r\n");
                return false;
            case "lengths":
                await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n{framed[17..]}{text}");
                return false;
            case "half-head":
                await peer.SendAsync(start);
                return false;
            case "short":
            case "short-reset":
            case "stall-body":
                await peer.SendAsync(start + $"Content-Length: {body.Length + 1}\r\n\r\n" + text);
                if (behaviour == "stall-body" && !isHead)
                {
                    await stream.CopyToAsync(Stream.Null);
                }
                if (behaviour == "short-reset")
                {
                    peer.Reset();
                }
                return false;
            case "mid-chunk":
                await peer.SendAsync(start + $"Transfer-Encoding: chunked\r\n\r\n{body.Length + 1:x}\r\n{text}");
                return false;
            case "bad-chunk":
                await peer.SendAsync(start + $"Transfer-Encoding: chunked\r\n\r\n{body.Length + 1:x}\r\n{text}!\r\nnonsense\r\n0\r\n\r\n");
                return false;
            case "no-last-chunk":
                await peer.SendAsync(start + $"Transfer-Encoding: chunked\r\n\r\n{body.Length + 1:x}\r\n{text}!\r\n0\r\nX: y\r\n");
                return false;
            case "close-reset":
                await peer.SendAsync(start + "\r\n" + text);
                peer.Reset();
                return false;
            case "upgrade":
                await peer.SendAsync($"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n{text}");
                await stream.CopyToAsync(Stream.Null);
                return false;
            default:
                await peer.SendAsync(framed + text);
                return true;
        }
    }
}
