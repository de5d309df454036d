using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Text;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>
/// What becomes of each request of RFC 9113 that a proxy decides about, frame by frame: the status of a response, a reset of the stream,
/// or the end of the connection, and what the access log has of it.
/// </summary>
internal sealed class Http2RequestTests
{
    private static readonly (string Name, string Value)[] Get =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/x")];

    private static readonly (string Name, string Value)[] Post = With(":method", "POST");

    // What Kestrel resets or ends (the fates that are not a status) it does before our code sees the request.
    private static readonly (string Name, (string Name, string Value)[] Fields, string Fate)[] Heads =
    [
        ("plain", Get, "200"),
        ("scheme https", With(":scheme", "https"), "200"),
        ("scheme in capitals", With(":scheme", "HTTPS"), "200"),
        ("another scheme", With(":scheme", "ftp"), "400"),
        ("empty scheme", With(":scheme", ""), "reset PROTOCOL_ERROR"),
        ("no scheme", Without(":scheme"), "reset PROTOCOL_ERROR"),
        ("no method", Without(":method"), "reset PROTOCOL_ERROR"),
        ("no path", Without(":path"), "reset PROTOCOL_ERROR"),
        ("empty path", With(":path", ""), "reset PROTOCOL_ERROR"),
        ("path without slash", With(":path", "x"), "reset PROTOCOL_ERROR"),
        ("asterisk with GET", With(":path", "*"), "reset PROTOCOL_ERROR"),
        ("path with a blank", With(":path", "/a b"), "400"),
        ("path with CR LF", With(":path", "/a\r\nX: 1"), "end PROTOCOL_ERROR"),
        ("path with bytes from 0x80 on", With(":path", "/\u00e9"), "400"),
        ("query with bytes from 0x80 on", With(":path", "/?\u00e9"), "400"),
        ("path with a fragment", With(":path", "/x#y"), "400"),
        ("path with %00", With(":path", "/%00"), "reset PROTOCOL_ERROR"),
        ("path of 9,000 bytes", With(":path", "/" + new string('a', 8999)), "414"),
        ("path of 8,100 bytes", With(":path", "/" + new string('a', 8099)), "200"),
        ("no authority, but host", [.. Without(":authority"), ("host", "a")], "200"),
        ("authority and another host", [.. Get, ("host", "b")], "200"),
        ("no authority and no host", Without(":authority"), "400"),
        ("two hosts", [.. Without(":authority"), ("host", "a"), ("host", "b")], "reset PROTOCOL_ERROR"),
        ("authority with user", With(":authority", "u@a"), "reset PROTOCOL_ERROR"),
        ("authority with a slash", With(":authority", "a/b"), "reset PROTOCOL_ERROR"),
        ("method with a blank", With(":method", "GE T"), "reset PROTOCOL_ERROR"),
        ("unknown method", With(":method", "BREW"), "200"),
        ("CONNECT", [(":method", "CONNECT"), (":authority", "a:1")], "405"),
        ("CONNECT with path", [(":method", "CONNECT"), (":authority", "a:1"), (":scheme", "http"), (":path", "/")], "reset PROTOCOL_ERROR"),
        ("TRACE", With(":method", "TRACE"), "405"),
        ("protocol without CONNECT", [.. Get, (":protocol", "websocket")], "reset PROTOCOL_ERROR"),
        ("unknown pseudo-field", [.. Get, (":other", "x")], "end PROTOCOL_ERROR"),
        ("status in a request", [.. Get, (":status", "200")], "end PROTOCOL_ERROR"),
        ("pseudo-field twice", [.. Get, (":path", "/y")], "end PROTOCOL_ERROR"),
        ("pseudo-field behind a field", [.. Get[..3], ("a", "b"), Get[3]], "end PROTOCOL_ERROR"),
        ("name with a capital", [.. Get, ("A", "b")], "end PROTOCOL_ERROR"),
        ("name with a blank", [.. Get, ("a b", "c")], "400"),
        ("name with a colon", [.. Get, ("a:b", "c")], "400"),
        ("empty name", [.. Get, ("", "c")], "end COMPRESSION_ERROR"),
        ("name with bytes from 0x80 on", [.. Get, ("\u00e9", "c")], "end PROTOCOL_ERROR"),
        ("value with NUL", [.. Get, ("a", "b\0c")], "end PROTOCOL_ERROR"),
        ("value with CR", [.. Get, ("a", "b\rc")], "end PROTOCOL_ERROR"),
        ("value with LF", [.. Get, ("a", "b\nc")], "end PROTOCOL_ERROR"),
        ("value with another control character", [.. Get, ("a", "b\u0001c")], "400"),
        ("value with a blank at its ends", [.. Get, ("a", " b ")], "200"),
        ("empty value", [.. Get, ("a", "")], "200"),
        ("connection", [.. Get, ("connection", "close")], "end PROTOCOL_ERROR"),
        ("keep-alive", [.. Get, ("keep-alive", "1")], "400"),
        ("proxy-connection", [.. Get, ("proxy-connection", "close")], "400"),
        ("upgrade", [.. Get, ("upgrade", "websocket")], "400"),
        ("transfer-encoding", [.. Get, ("transfer-encoding", "chunked")], "400"),
        ("te trailers", [.. Get, ("te", "trailers")], "200"),
        ("te gzip", [.. Get, ("te", "gzip")], "end PROTOCOL_ERROR"),
        ("content-length without a body", [.. Get, ("content-length", "5")], "reset PROTOCOL_ERROR"),
        ("content-length 0", [.. Get, ("content-length", "0")], "200"),
        ("content-length that is no number", [.. Get, ("content-length", "x")], "end PROTOCOL_ERROR"),
        ("content-length with a sign", [.. Get, ("content-length", "+0")], "end PROTOCOL_ERROR"),
        ("content-length twice", [.. Get, ("content-length", "0"), ("content-length", "0")], "end PROTOCOL_ERROR"),
        ("500 crumbs of a cookie", [.. Get, .. Many("cookie", 500)], "200"),
        ("96 fields, and 500 crumbs", [.. Get, .. Numbered(96), .. Many("cookie", 500)], "200"),
        ("101 fields", [.. Get, .. Numbered(101)], "431"),
        ("101 lines of one field", [.. Get, .. Many("x", 101)], "431"),
        ("40 KB of crumbs", [.. Get, .. Many("cookie", 40, new string('c', 1000))], "431"),
    ];

    // Frames behind the preface: stream 1, with or without a request on it before, and what becomes of it.
    private static readonly (string Name, Func<Http2Peer, Task> Send, string Fate)[] Frames =
    [
        ("more data than content-length", async peer =>
        {
            await peer.SendHeadAsync(0, 1, [.. Post, ("content-length", "1")]);
            await peer.SendFrameAsync(Http2Wire.Data, Http2Wire.EndStream, 1, "abc");
        }, "reset PROTOCOL_ERROR"),
        ("less data than content-length", async peer =>
        {
            await peer.SendHeadAsync(0, 1, [.. Post, ("content-length", "5")]);
            await peer.SendFrameAsync(Http2Wire.Data, Http2Wire.EndStream, 1, "abc");
        }, "reset PROTOCOL_ERROR"),
        ("padding that is too long", async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendFrameAsync(Http2Wire.Data, 8, 1, "\u0009abc");
        }, "end PROTOCOL_ERROR"),
        ("pseudo-field in trailers", async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendHeadAsync(Http2Wire.EndStream, 1, (":path", "/y"));
        }, "end PROTOCOL_ERROR"),
        ("trailers without END_STREAM", async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendHeadAsync(0, 1, ("a", "b"));
        }, "end PROTOCOL_ERROR"),
        ("window update of 0", async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendFrameAsync(Http2Wire.WindowUpdate, 0, 1, "\0\0\0\0");
        }, "end PROTOCOL_ERROR"),
        ("window beyond 2^31-1", async peer =>
        {
            await peer.SendHeadAsync(0, 1, Post);
            await peer.SendFrameAsync(Http2Wire.WindowUpdate, 0, 1, "\x7f\xff\xff\xff");
        }, "reset FLOW_CONTROL_ERROR"),
        ("data on an idle stream", peer => peer.SendFrameAsync(Http2Wire.Data, 1, 1, "a"), "end PROTOCOL_ERROR"),
        ("reset of an idle stream", peer => peer.SendFrameAsync(Http2Wire.RstStream, 0, 1, "\0\0\0\u0008"), "end PROTOCOL_ERROR"),
        ("continuation without a head", peer => peer.SendFrameAsync(Http2Wire.Continuation, 4, 1, ""), "end PROTOCOL_ERROR"),
        ("push promise", peer => peer.SendFrameAsync(Http2Wire.PushPromise, 4, 1, "\0\0\0\u0002"), "end PROTOCOL_ERROR"),
        ("even stream", peer => peer.SendRequestAsync(2, Get), "end PROTOCOL_ERROR"),
        ("stream that depends on itself", peer => peer.SendFrameAsync(Http2Wire.Priority, 0, 1, "\0\0\0\u0001\0"), "end PROTOCOL_ERROR"),
        ("frame that is too large", peer => peer.SendFrameAsync(Http2Wire.Data, 0, 1, new string('a', 16385)), "end FRAME_SIZE_ERROR"),
        ("wrong compression", peer => peer.SendFrameAsync(Http2Wire.Headers, 5, 1, "\xff\xff\xff\xff\xff\xff"), "end COMPRESSION_ERROR"),
    ];

    [Test]
    public async Task Head_OfEachKind_IsAnsweredResetOrEnded([ValueSource(nameof(HeadNames))] string name)
    {
        var (_, fields, fate) = Heads.Single(candidate => candidate.Name == name);
        await ShouldEndAsync(client => client.SendRequestAsync(1, fields), fate, reachesTheBackend: fate == "200");
    }

    [Test]
    public async Task Frames_OfEachKind_AreAnsweredResetOrEnded([ValueSource(nameof(FrameNames))] string name)
    {
        var (_, send, fate) = Frames.Single(candidate => candidate.Name == name);
        await ShouldEndAsync(send, fate, reachesTheBackend: null);
    }

    [Test]
    public async Task Cookies_InManyCrumbs_ReachTheBackendAsOneField()
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        await using var node = await TestNode.StartAsync(
            [backend.Address], listener: listener => listener with { HttpVersion = HttpVersion.Version20 });
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, [.. Get, .. Enumerable.Range(0, 300).Select(i => ("cookie", $"c{i}={i}"))]);

        (await client.ReadFateAsync(1)).Should().Be("200");
        head.Should().ContainEquivalentOf($"\r\nCookie: {string.Join("; ", Enumerable.Range(0, 300).Select(i => $"c{i}={i}"))}\r\n");
    }

    [Test]
    public async Task Head_NeverCompleted_EndsTheConnectionAndIsLogged()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("access.log");
        await using var backend = RawServer.Answering("");
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with
        {
            HttpVersion = HttpVersion.Version20,
            AccessLog = file,
            RequestHeadersTimeout = TimeSpan.FromMilliseconds(1),
        });
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendFrameAsync(Http2Wire.Headers, Http2Wire.EndStream, 1, Http2Wire.Encode(Get));

        (await client.ReadFateAsync(1)).Should().StartWith("end");
        await node.StopAsync();
        (await File.ReadAllTextAsync(file)).Should().MatchRegex("\"- - HTTP/2\" 408 .*\n$");
    }

    [TestCase("GET /{8200} HTTP/1.1\r\nHost: a\r\n\r\n", 414)]
    [TestCase("GET /{40000} HTTP/1.1\r\nHost: a\r\n\r\n", 414)]
    [TestCase("GET /{8100} HTTP/1.1\r\nHost: a\r\n\r\n", 200)]
    [TestCase("GET / HTTP/1.1\r\nHost: a\r\n[100]\r\n", 431)]
    [TestCase("GET / HTTP/1.1\r\nHost: a\r\n[99]\r\n", 200)]
    [TestCase("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n", 200)]
    public async Task Http1_OnAListenerThatSpeaksHttp2Too_HasItsLimits(string request, int expected)
    {
        using var certificates = new TestCertificates();
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with
        {
            Address = TestNode.Parse("https://127.0.0.1:0"),
            Certificates = [certificates.Issue("it", "it.test")],
        });
        using var raw = await RawPeer.ConnectAsync(node.Port);
        await using var tls = new SslStream(raw.Stream, leaveInnerStreamOpen: false, (_, _, _, _) => true);
        await tls.AuthenticateAsClientAsync("it.test");
        // {n} stands for n letters, [n] for n fields.
        static int Number(Match match) => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture);
        var text = Regex.Replace(request, @"\{(\d+)\}", match => new string('a', Number(match)));
        text = Regex.Replace(
            text, @"\[(\d+)\]", match => string.Concat(Enumerable.Range(0, Number(match)).Select(i => $"X-{i}: 1\r\n")));

        await tls.WriteAsync(Encoding.Latin1.GetBytes(text));

        var answer = new byte[12];
        await tls.ReadExactlyAsync(answer);
        Encoding.Latin1.GetString(answer).Should().Be($"HTTP/1.1 {expected}");
    }

    // One line in the access log, of the request or of what was none.
    private static async Task ShouldEndAsync(Func<Http2Peer, Task> send, string fate, bool? reachesTheBackend)
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("access.log");
        var requests = 0;
        await using var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is { } head)
            {
                requests++;
                await peer.SendAsync(head.StartsWith("POST", StringComparison.Ordinal) ? "" // The body is still to come.
                    : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        });
        await using var node = await TestNode.StartAsync(
            [backend.Address], listener: listener => listener with { HttpVersion = HttpVersion.Version20, AccessLog = file });
        using (var client = await Http2Peer.ConnectAsync(node.Port))
        {
            await send(client);

            (await client.ReadFateAsync(1)).Should().Be(fate);
            if (reachesTheBackend is { } reaches)
            {
                requests.Should().Be(reaches ? 1 : 0);
            }
            if (!fate.StartsWith("end", StringComparison.Ordinal))
            {
                await client.SendRequestAsync(3, With(":path", "/other"));
                (await client.ReadFateAsync(3)).Should().Be("200", "other streams go on");
            }
        }
        await node.StopAsync();
        // A connection that is ended has a line of its own beside those of its requests, which are aborted (499) or seen to be wrong (400).
        var isEnded = fate.StartsWith("end", StringComparison.Ordinal);
        var lines = (await File.ReadAllLinesAsync(file)).Where(line => !line.Contains("/other", StringComparison.Ordinal)
            && !(isEnded && line.Contains(" /x ", StringComparison.Ordinal)));
        lines.Should().ContainSingle().Which.Should().MatchRegex($"^127\\.0\\.0\\.1 - - .* HTTP/2\" {LoggedStatus(fate)} ");
    }

    // A request whose body turns out to be wrong is aborted.
    private static string LoggedStatus(string fate) => char.IsAsciiDigit(fate[0]) ? fate : "(400|499)";

    private static IEnumerable<string> HeadNames() => Heads.Select(candidate => candidate.Name);

    private static IEnumerable<string> FrameNames() => Frames.Select(candidate => candidate.Name);

    private static (string, string)[] With(string name, string value) =>
        [.. Get.Select(field => field.Name == name ? (name, value) : field)];

    private static (string, string)[] Without(string name) => [.. Get.Where(field => field.Name != name)];

    private static IEnumerable<(string, string)> Many(string name, int count, string value = "a=1") =>
        Enumerable.Repeat((name, value), count);

    private static IEnumerable<(string, string)> Numbered(int count) => Enumerable.Range(0, count).Select(i => ($"x-{i}", "1"));
}
