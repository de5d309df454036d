using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Http.Upstream.Http2.Http2Backends;
using static LoadBalancer.Tests.Support.Http2Wire;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>What a backend gets over HTTP/2: every field, in order, byte for byte.</summary>
internal sealed class Http2RequestTests
{
    private const byte Headers = Http2Wire.Headers; // and not the namespace

    private static readonly string[] Added = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

    [Test]
    public async Task Fields_OfARequestWithoutBody_AllArrive()
    {
        var fields = new[]
        {
            "content-type: text/x", "content-md5: Q2hlY2s=", "content-encoding: x", "content-language: de", "content-disposition: a; b",
            "content-location: /c", "content-range: bytes 0-1/2", "expires: 0", "last-modified: never", "allow: GET",
        };

        var request = await RequestOfAsync("GET / HTTP/1.1\r\nHost: a\r\n" + string.Join("\r\n", fields) + "\r\n\r\n");

        request.IsEnd.Should().BeTrue();
        request.Fields.Select(field => $"{field.Name}: {field.Value}").Should().Contain(fields);
        request["content-length"].Should().BeNull();
    }

    [Test]
    public async Task Fields_OfAnyName_KeepTheirOrderAndBytes()
    {
        var line = new string('l', 7_000); // Three of them need more than one frame.
        var request = await RequestOfAsync(
            "GET /p?q HTTP/1.1\r\nHost: shop.example:81\r\nX-B: 1\r\n"
            + "x-a: \u00e9\u00ff\tx\r\nTrace-Bin: AAEC\r\nX-B: 2\r\nTRACE-BIN: AwQF\r\n"
            + $"X-Empty:\r\nX-Long: {line}\r\nX-Long: {line}\r\nX-Long: {line}\r\n\r\n");

        request.Fields.Select(field => field.Name).Should().StartWith([":method", ":scheme", ":path", ":authority"]);
        request[":method"].Should().Be("GET");
        request[":scheme"].Should().Be("http");
        request[":path"].Should().Be("/p?q");
        request[":authority"].Should().Be("shop.example:81");
        request["x-b"].Should().Be("1|2");
        request["trace-bin"].Should().Be("AAEC|AwQF");
        request["x-a"].Should().Be("\u00e9\u00ff\tx");
        request["x-empty"].Should().Be("");
        request["x-long"].Should().Be($"{line}|{line}|{line}");
        request["host"].Should().BeNull();
    }

    [Test]
    public async Task Fields_AreTheSameAndInTheSameOrderAsOverHttp11()
    {
        const string Request = "POST /p HTTP/1.1\r\nHost: a\r\nZ-Last: 1\r\nAccept: */*\r\nA-First: 2\r\nCookie: a=1\r\nTE: trailers\r\n"
            + "User-Agent: x\r\nTrace-Bin: AA\r\nAuthorization: b\r\nTrace-Bin: BB\r\nContent-Length: 0\r\nContent-Type: c\r\n\r\n";
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync("HTTP/1.1 204 No Content\r\n\r\n");
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync(Request);
        await client.ReadHeadAsync();
        var over11 = head.Split("\r\n", StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(line => line.Split(": "))
            .Select(parts => $"{parts[0].ToLowerInvariant()}: {parts[1]}")
            .Where(line => line is not ("host: a" or "connection: TE"));

        var request = await RequestOfAsync(Request);

        request.Fields.Where(field => field.Name[0] != ':').Select(field => $"{field.Name}: {field.Value}").Should().BeEquivalentTo(over11)
            .And.ContainInOrder(over11.Where(line => line is not ("content-length: 0" or "te: trailers")));
    }

    [TestCase("get")]
    [TestCase("PURGE")]
    [TestCase("M-SEARCH")]
    [TestCase("OPTIONS")]
    [TestCase("DELETE")]
    public async Task Method_WithoutBody_EndsWithItsHeadAndHasNoLength(string method)
    {
        var request = await RequestOfAsync($"{method} / HTTP/1.1\r\nHost: a\r\n\r\n");

        request[":method"].Should().Be(method);
        request.IsEnd.Should().BeTrue();
        request["content-length"].Should().BeNull();
    }

    [TestCase("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a")]
    [TestCase("GET http://other.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n", "/x", "other.example")]
    [TestCase("GET /%zz?a=|^ HTTP/1.1\r\nHost: a\r\n\r\n", "/%zz?a=|^", "a")]
    public async Task Target_OfAnyForm_IsPassedOnAsItIs(string text, string path, string authority)
    {
        var request = await RequestOfAsync(text);

        request[":path"].Should().Be(path);
        request[":authority"].Should().Be(authority);
    }

    [TestCase("1.1", true)]
    [TestCase("1.1", false)]
    [TestCase("2.0", true)]
    public async Task Trailers_OfARequest_FollowItsBody(string version, bool hasBody)
    {
        var trailers = new TaskCompletionSource<(string Body, string Trailers, bool IsEnd)>();
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            var body = "";
            while (await peer.NextAsync(Data, Headers) is { } frame)
            {
                if (frame.Type == Headers)
                {
                    trailers.SetResult((body, string.Join(", ", HpackText.Decode(frame.Payload)), frame.IsEnd));
                    break;
                }
                body += frame.Payload;
                if (frame.IsEnd)
                {
                    trailers.SetResult((body, "none", true));
                    break;
                }
            }
            await peer.SendHeadAsync(request!.Stream, 204, isEnd: true);
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend, version);

        if (version == "1.1")
        {
            await node.ExchangeAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                + (hasBody ? "5\r\nhello\r\n" : "") + "0\r\nX-Sum: 1\r\nContent-Length: 9\r\nX-Sum: 2\r\n\r\n");
        }
        else
        {
            using var client = await Http2Peer.ConnectAsync(node.Port);
            await client.SendFrameAsync(Headers, EndHeaders, 1, Encode(Call));
            await client.SendFrameAsync(Data, 0, 1, hasBody ? "hello" : "");
            await client.SendFrameAsync(
                Headers, EndHeaders | EndStream, 1, Encode(("x-sum", "1"), ("content-length", "9"), ("x-sum", "2")));
            await client.ReadFrameAsync(Headers);
        }

        (await trailers.Task).Should().Be((hasBody ? "hello" : "", "(x-sum, 1), (x-sum, 2)", true));
    }

    [Test]
    public async Task Body_OfUnknownLength_EndsTheStreamWithoutAnExtraLength([Values(0, 1, 50_000)] int length)
    {
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            request!["content-length"].Should().BeNull();
            request["transfer-encoding"].Should().BeNull();
            var body = await peer.ReadBodyAsync(request.Stream);
            await peer.AnswerAsync(request.Stream, $"{body!.Length} bytes");
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);

        var answer = await node.ExchangeAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (length > 0 ? $"{length:x}\r\n{new string('p', length)}\r\n" : "") + "0\r\n\r\n");

        answer.Should().StartWith("HTTP/1.1 200").And.Contain($"{length} bytes");
    }

    [Test]
    public async Task Client_ThatBreaksOffItsBody_IsNoEndForTheBackend()
    {
        var end = new TaskCompletionSource<Http2Frame?>();
        await using var backend = new Http2Server(async (peer, _) =>
        {
            await peer.ReadRequestAsync();
            await peer.NextAsync(Data);
            end.SetResult(await peer.NextAsync(Data, RstStream));
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using (var client = await node.ConnectAsync())
        {
            await client.SendAsync(Post(10)[..^5]);
            await Eventually.BeTrueAsync(
                () => backend.Connections.TryGetValue(1, out var peer) && peer.Seen.Any(frame => frame.Type == Data), "a part arrives");
        }

        (await end.Task)!.Type.Should().Be(RstStream);
        await node.ShouldHaveFailedAsync(0);
    }

    private static async Task<Http2Request> RequestOfAsync(string text)
    {
        var seen = new TaskCompletionSource<Http2Request>();
        await using var backend = new Http2Server(async (peer, _) =>
        {
            var request = await peer.ReadRequestAsync();
            seen.SetResult(request!);
            await peer.SendHeadAsync(request!.Stream, 204, isEnd: true);
            await peer.ReadToEndAsync();
        });
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();
        await client.SendAsync(text);
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 204");
        var all = (await seen.Task).Fields;
        all.Select(field => field.Name).Should().Contain(Added);
        return await seen.Task;
    }
}
