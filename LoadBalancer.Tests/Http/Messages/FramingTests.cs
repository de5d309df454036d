using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Messages;

/// <summary>
/// Where requests begin and end. A request that two servers may read differently reaches no backend, and no second request can be
/// hidden behind it.
/// </summary>
internal sealed class FramingTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private const string Smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

    [ByteCase("GET / HTTP/1.1\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nX: a\u000bb\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nX: a\u007f\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 \u0001b\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n folded\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nX : blank\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nab", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \u000b1\r\n\r\na", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 000000000000000000000000000000\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\u000b: chunked\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "501")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400")]
    [ByteCase("POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "400")]
    [ByteCase("GET /a\rX-Inj:1 HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET /a\u0001b HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET /caf\u00e9 HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\nA(b): 1\r\n\r\n", "400")]
    [ByteCase("GET /x#/../admin HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET http://a/x#/../admin HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET admin HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET HTTP://a/admin HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET h:80 HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET urn:x:y HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET file:///x HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET http:/x HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET http://u:p@a/x HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET http://a\\admin HTTP/1.1\r\nHost: a\r\n\r\n", "400")]
    [ByteCase("GET / HTTP/3.7\r\nHost: a\r\n\r\n", "505")]
    [ByteCase("nonsense\r\n\r\n", "400")]
    public async Task Request_HeadMalformed_IsRefusedAndReachesNobody(string request, string status)
    {
        var seen = "";
        string answer;
        await using (var backend = new RawServer(async (peer, _) => seen += await peer.ReadToEndAsync()))
        {
            await using var node = await TestNode.StartAsync([backend.Address]);
            answer = await node.ExchangeAsync(request + Smuggled);
        }

        answer.Should().StartWith($"HTTP/1.1 {status}");
        answer.Split("HTTP/1.1 ").Should().HaveCount(2, "the connection ends after the first answer");
        ShouldSayWhy(answer);
        seen.Should().BeEmpty();
    }

    [TestCase("zz\r\n")]
    [TestCase("-1\r\n")]
    [TestCase("+5\r\nhello\r\n0\r\n\r\n")]
    [TestCase("0x5\r\nhello\r\n0\r\n\r\n")]
    [TestCase(" 5\r\nhello\r\n0\r\n\r\n")]
    [TestCase("5 5\r\nhello\r\n0\r\n\r\n")]
    [TestCase("5\nhello\r\n0\r\n\r\n")]
    [TestCase("5;\nhello\r\n0\r\n\r\n")]
    [TestCase("4\r\nhello\r\n0\r\n\r\n")]
    [TestCase("5\r\nhello0\r\n\r\n")]
    [TestCase("FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n")]
    [TestCase("5\r\nhello\r\n0\r\nno colon\r\n\r\n")]
    public async Task Request_ChunksMalformed_AreRefusedAndNeverCompleted(string chunks)
    {
        var seen = new TaskCompletionSource<string>();
        await using var backend = new RawServer(async (peer, _) => seen.SetResult(await peer.ReadToEndAsync()));
        await using var node = await TestNode.StartAsync([backend.Address]);

        var answer = await node.ExchangeAsync("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + Smuggled);

        answer.Should().StartWith("HTTP/1.1 400");
        answer.Split("HTTP/1.1 ").Should().HaveCount(2, "the connection ends after the first answer");
        (await seen.Task).Should().NotContain("\r\n0\r\n").And.NotContain("smuggled");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0, "a client's fault never counts against a backend");
    }

    [Test]
    public async Task Request_FramingFieldsAsTrailers_AreDropped()
    {
        var body = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            body = await peer.ReadUntilAsync("\r\n\r\n") ?? "";
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        await node.ExchangeAsync(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
            + "X-Sum: 42\r\nContent-Length: 7\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nConnection: x\r\nX-Last: 1\r\n\r\n");

        body.Should().Be("5\r\nhello\r\n0\r\nX-Sum: 42\r\nX-Last: 1\r\n\r\n");
    }

    [TestCase("X: a\u000bb")]
    [TestCase("A(b): 1")]
    [TestCase("Transfer-Encoding\u000b: chunked")]
    public async Task Request_TrailerMalformed_IsRefusedAndNeverCompleted(string trailer)
    {
        var seen = new TaskCompletionSource<string>();
        await using var backend = new RawServer(async (peer, _) => seen.SetResult(await peer.ReadToEndAsync()));
        await using var node = await TestNode.StartAsync([backend.Address]);

        var answer = await node.ExchangeAsync(
            $"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{trailer}\r\n\r\n" + Smuggled);

        answer.Should().StartWith("HTTP/1.1 400").And.Contain("Connection: close\r\n");
        (await seen.Task).Should().EndWith("5\r\nhello\r\n");
    }

    [Test]
    public async Task Request_HeadTooLarge_Is431()
    {
        var answer = await AnswerToAsync("X: " + new string('x', 40_000) + "\r\n");

        answer.Should().StartWith("HTTP/1.1 431");
        ShouldSayWhy(answer);
    }

    [Test]
    public async Task Request_HeadWithoutHost_IsRefusedWithoutABody()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.ExchangeAsync("HEAD / HTTP/1.1\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 400").And.Contain("Content-Length: 25\r\n").And.EndWith("\r\n\r\n");
    }

    [Test]
    public async Task Request_Http2WhereHttp11IsSpoken_IsToldSo()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.ExchangeAsync("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            .Should().EndWith("\0\0\0\u000d", "that is GOAWAY with HTTP_1_1_REQUIRED");
    }

    [Test]
    public async Task Request_BadBehindSlowReader_IsAnsweredInOrder()
    {
        var body = new string('x', 4 * 1024 * 1024);
        await using var backend = RawServer.Answering($"HTTP/1.1 200 OK\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        await using var node = await TestNode.StartAsync([backend.Address]);

        var answers = await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\nbad\r\n\r\n");

        answers.Should().Contain(body + "HTTP/1.1 400");
        ShouldSayWhy(answers);
    }

    [Test]
    public async Task Request_TooManyFields_Is431()
    {
        (await AnswerToAsync(Fields(98))).Should().StartWith("HTTP/1.1 200", "with Host and Connection that makes a hundred");
        (await AnswerToAsync(Fields(99))).Should().StartWith("HTTP/1.1 431");

        static string Fields(int count) => string.Concat(Enumerable.Range(0, count).Select(i => $"X-{i}: {i}\r\n"));
    }

    [Test]
    public async Task Request_PipelinedGoodGoodBad_IsAnsweredInOrder()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);

        var answers = await node.ExchangeAsync("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nbad\r\n\r\n");

        answers.Split("HTTP/1.1 ").Skip(1).Select(answer => answer[..3]).Should().Equal("200", "200", "400");
    }

    [TestCase("GET http://other.example:99/x?y HTTP/1.1", "GET /x?y HTTP/1.1\r\nHost: other.example:99\r\n")]
    [TestCase("GET http://other.example/a%2Fb/../c//d?x=%7e&&y HTTP/1.1",
        "GET /a%2Fb/../c//d?x=%7e&&y HTTP/1.1\r\nHost: other.example\r\n")]
    [TestCase("GET http://other.example HTTP/1.1", "GET / HTTP/1.1\r\nHost: other.example\r\n")]
    [TestCase("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1\r\nHost: a\r\n")]
    public async Task Request_OtherFormsOfTarget_AreUnderstood(string line, string seen)
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.ExchangeAsync($"{line}\r\nHost: a\r\nConnection: close\r\n\r\n")).Should().StartWith("HTTP/1.1 200");

        head.Should().StartWith(seen);
    }

    [TestCase("TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")]
    [TestCase("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n")]
    public async Task Request_TraceOrConnect_Is405(string request)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.ExchangeAsync(request)).Should().StartWith("HTTP/1.1 405");
        backend.Accepted.Should().Be(0);
    }

    // Whether Kestrel or the load balancer rejects the request: the body is one line of text with the cause.
    private static void ShouldSayWhy(string answer)
    {
        var (head, body) = (answer[..answer.LastIndexOf("\r\n\r\n", StringComparison.Ordinal)],
            answer[(answer.LastIndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]);
        head.Should().Contain("\r\nProxy-Status: loadbalancer; error=http_request_error")
            .And.Contain("\r\nContent-Type: text/plain; charset=utf-8")
            .And.Contain($"\r\nContent-Length: {body.Length}\r\n");
        body.Should().MatchRegex("^The |^This ").And.EndWith("\n");
    }

    private static async Task<string> AnswerToAsync(string fields)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        return await node.ExchangeAsync($"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    }
}
