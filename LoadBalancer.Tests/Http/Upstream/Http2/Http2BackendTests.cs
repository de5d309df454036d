using System.Net;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>HTTP/2 towards backends, with prior knowledge: what gRPC servers without TLS speak.</summary>
internal sealed class Http2BackendTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    [Test]
    public async Task Request_Fields_ReachTheBackendAsSent()
    {
        var seen = new Dictionary<string, string>();
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                seen = context.Request.Headers.ToDictionary(field =>
                    field.Key, field => string.Join("|", field.Value.ToArray()), StringComparer.OrdinalIgnoreCase);
                return context.Response.WriteAsync("ok");
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);

        var answer = await node.ExchangeAsync(
            "POST /a%2Fb/../c//d?x=%7e&&y HTTP/1.1\r\nHost: shop.example\r\nX-Two: 1\r\nX-Two: 2\r\nX-High: \u00e9\r\nConnection: X-Hop, " +
                "close\r\nX-Hop: 1\r\nTE: gzip, trailers\r\nKeep-Alive: 5\r\n"
            + "Content-Type: text/x\r\nContent-Length: 0\r\nVia: 1.0 other\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n");

        answer.Should().StartWith("HTTP/1.1 200 OK\r\n").And.EndWith("\r\n2\r\nok\r\n0\r\n\r\n");
        backend.Requests.Should().Equal("HTTP/2 POST /a%2Fb/../c//d?x=%7e&&y");
        seen.Should().Contain("Host", "shop.example").And.Contain("X-Two", "1|2").And.Contain("TE", "trailers")
            .And.Contain("Via", "1.0 other")
            .And.Contain("X-Forwarded-For", "127.0.0.1").And.Contain("X-Forwarded-Proto", "http")
            .And.Contain("X-Forwarded-Host", "shop.example");
        seen.Should().NotContainKeys("X-Hop", "Keep-Alive", "Connection", "User-Agent", "Accept");
    }

    [Test]
    public async Task Response_FieldsAndTrailers_ReachHttp11AndHttp2Clients([Values("1.1", "2.0")] string version)
    {
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                context.Response.Headers.SetCookie = new(["a=1", "b=2"]);
                context.Response.Headers["X-Empty"] = "";
                context.Response.DeclareTrailer("grpc-status");
                await context.Response.WriteAsync("hello");
                context.Response.AppendTrailer("grpc-status", "0");
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend, version);
        using var client = Client(node, version);

        using var response = await client.GetAsync(new Uri("/", UriKind.Relative));

        (await response.Content.ReadAsStringAsync()).Should().Be("hello");
        response.Headers.GetValues("Set-Cookie").Should().Equal("a=1", "b=2");
        response.Headers.GetValues("X-Empty").Should().Equal("");
        response.TrailingHeaders.GetValues("grpc-status").Should().Equal("0");
    }

    [Test]
    public async Task Request_Trailers_ReachTheBackend([Values("1.1", "2.0")] string version)
    {
        var seen = "";
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                using var body = new StreamReader(context.Request.Body);
                seen = await body.ReadToEndAsync() + string.Join("", context.Request.GetTrailer("X-Sum").ToArray())
                    + context.Request.Headers["X-Sum"] + context.Request.Headers.Trailer;
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend, version);

        if (version == "1.1")
        {
            (await node.ExchangeAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTrailer: X-Sum\r\nTransfer-Encoding: " +
                "chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")).Should().StartWith("HTTP/1.1 200");
        }
        else
        {
            using var client = await Http2Peer.ConnectAsync(node.Port);
            await client.SendFrameAsync(Http2Wire.Headers, 4, 1,
                "\0\u0007:method\u0004POST\0\u0007:scheme\u0004http\0\u000a:authority\u0001a" +
                "\0\u0005:path\u0001/\0\u0007trailer\u0005x-sum");
            await client.SendFrameAsync(Http2Wire.Data, 0, 1, "hello");
            await client.SendFrameAsync(Http2Wire.Headers, 5, 1, "\0\u0005x-sum\u000242");
            (await client.ReadFrameAsync(Http2Wire.Headers)).Should().NotBeNull();
        }

        seen.ToLowerInvariant().Should().Be("hello42x-sum");
    }

    [Test]
    public async Task Grpc_BothDirectionsOpen_EachMessageArrivesAtOnce()
    {
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                await context.Response.Body.FlushAsync();
                var buffer = new byte[16];
                while (await context.Request.Body.ReadAsync(buffer) is > 0 and var count)
                {
                    await context.Response.Body.WriteAsync(buffer.AsMemory(0, count));
                    await context.Response.Body.FlushAsync();
                }
                context.Response.AppendTrailer("grpc-status", "0");
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend, "2.0");
        using var client = Client(node, "2.0");
        using var content = new DuplexContent();
        using var request = new HttpRequestMessage(HttpMethod.Post, "/chat.Chat/Talk")
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = content
        };

        using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        var (up, down) = (await content.Stream, await response.Content.ReadAsStreamAsync());
        var received = new byte[16];
        for (var i = 0; i < 3; i++)
        {
            await up.WriteAsync("ping!"u8.ToArray());
            await up.FlushAsync();
            await down.ReadExactlyAsync(received.AsMemory(0, 5)); // Only then the next one goes out.
        }
        content.End();

        (await down.ReadAsync(received)).Should().Be(0);
        response.TrailingHeaders.GetValues("grpc-status").Should().Equal("0");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "the lease is given back");
    }

    [Test]
    public async Task Response_BrokenOff_IsVisiblyBroken()
    {
        var arrived = new TaskCompletionSource();
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                await context.Response.WriteAsync("half");
                await context.Response.Body.FlushAsync();
                await arrived.Task;
                context.Abort();
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync(Get);
        (await client.ReadUntilAsync("half\r\n")).Should().StartWith("HTTP/1.1 200 OK");
        arrived.SetResult();

        (await client.ReadToEndAsync()).Should().BeEmpty("there is no last chunk");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "the lease is given back");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(1);
    }

    [Test]
    public async Task Post_StreamReset_IsNeverSentTwice()
    {
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                await context.Request.Body.CopyToAsync(Stream.Null);
                context.Abort();
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);

        var answer = await node.ExchangeAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");

        answer.Should().StartWith("HTTP/1.1 502");
        backend.Requests.Should().HaveCount(1);
    }

    [Test]
    public async Task Request_UnusualMethod_IsPassedOnAsItIs([Values("get", "hEAD", "PURGE")] string method)
    {
        var length = "";
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                length = context.Request.Headers.ContentLength.ToString();
                return context.Response.WriteAsync("ok");
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync($"{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).Should().StartWith("HTTP/1.1 200");
        backend.Requests.Should().Equal($"HTTP/2 {method} /");
        length.Should().BeEmpty("a request without a body has no length");
    }

    [Test]
    public async Task Get_NobodyListens_Is502AndSaysWhy()
    {
        await using var node =
            await TestNode.StartAsync([$"http://127.0.0.1:{ReservedPorts.Next()}"],
            pool => pool with { HttpVersion = HttpVersion.Version20 });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502").And.Contain("connection_refused");
        node.Pool.Snapshot.Members[0].Health.Reason.Should().Be("connection refused");
    }

    [Test]
    public async Task Get_BackendSpeaksHttp11Only_Is502()
    {
        await using var backend = RawServer.Answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { HttpVersion = HttpVersion.Version20 });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502");
    }

    [Test]
    public async Task Get_NoAnswerInTime_Is504AndTheStreamEnds()
    {
        var ended = new TaskCompletionSource();
        var clock = new FakeTimeProvider();
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                await using var _ = context.RequestAborted.Register(() => ended.TrySetResult());
                await ended.Task;
            },
            HttpProtocols.Http2);
        await using var node =
            await TestNode.StartAsync([backend.Address], pool => pool with { HttpVersion = HttpVersion.Version20 }, time: clock);

        var answer = node.ExchangeAsync(Get);
        await Eventually.BeTrueAsync(() => backend.Requests.Count == 1, "the request is under way");
        clock.Advance(TimeSpan.FromMinutes(1));

        (await answer).Should().StartWith("HTTP/1.1 504");
        await ended.Task;
    }

    [Test]
    public async Task Client_GoesAway_ResetsTheStreamWithoutBlame()
    {
        var ended = new TaskCompletionSource();
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                await using var _ = context.RequestAborted.Register(() => ended.TrySetResult());
                await ended.Task;
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);
        using (var client = await node.ConnectAsync())
        {
            await client.SendAsync(Get);
            await Eventually.BeTrueAsync(() => backend.Requests.Count == 1, "the request is under way");
        }

        await ended.Task;
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "the lease is given back");
    }

    [Test]
    public async Task Request_AnsweredBeforeItsEnd_GetsTheAnswer()
    {
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                context.Response.StatusCode = 413;
                return context.Response.WriteAsync("big");
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbeginning");

        (await client.ReadUntilAsync("big")).Should().StartWith("HTTP/1.1 413");
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "the lease is given back");
    }

    [TestCase(true, "200")]
    [TestCase(false, "417")]
    public async Task Expect_IsTheBackendsToAnswer(bool isWanted, string status)
    {
        var body = "";
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                if (!isWanted)
                {
                    context.Response.StatusCode = 417;
                    return;
                }
                using var reader = new StreamReader(context.Request.Body);
                body = await reader.ReadToEndAsync();
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        await client.SendAsync("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        var head = await client.ReadHeadAsync();
        if (isWanted)
        {
            head.Should().StartWith("HTTP/1.1 100");
            await client.SendAsync("hello");
            head = await client.ReadHeadAsync();
        }

        head.Should().StartWith($"HTTP/1.1 {status}");
        body.Should().Be(isWanted ? "hello" : "");
    }

    [TestCase("HEAD", 200)]
    [TestCase("GET", 204)]
    [TestCase("GET", 304)]
    public async Task Response_WithoutBody_LeavesTheConnectionUsable(string method, int status)
    {
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                context.Response.StatusCode = status;
                context.Response.ContentLength = status == 200 ? 5 : null;
                return Task.CompletedTask;
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 2; i++)
        {
            await client.SendAsync($"{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            (await client.ReadHeadAsync()).Should().StartWith($"HTTP/1.1 {status}").And.NotContain("chunked");
        }
    }

    [Test]
    public async Task Request_OneMegabyteEitherWay_ArrivesWhole()
    {
        await using var backend =
            await KestrelBackend.StartAsync(context => context.Request.Body.CopyToAsync(context.Response.Body), HttpProtocols.Http2);
        await using var node = await StartAsync(backend);
        var sent = new byte[1024 * 1024];
        new Random(1).NextBytes(sent);

        using var response = await node.Client.PostAsync(new Uri("/", UriKind.Relative), new ByteArrayContent(sent));

        (await response.Content.ReadAsByteArrayAsync()).Should().Equal(sent);
    }

    [Test]
    public async Task Probe_BackendWithPriorKnowledge_SpeaksItToo()
    {
        await using var backend = await KestrelBackend.StartAsync(_ => Task.CompletedTask, HttpProtocols.Http2);
        await using var node =
            await TestNode.StartAsync([backend.Address],
            pool => pool with { HttpVersion = HttpVersion.Version20, HealthCheck = new() { Path = "/healthz" } });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200");
        backend.Requests[0].Should().Be("HTTP/2 GET /healthz");
    }

    private static Task<TestNode> StartAsync(KestrelBackend backend, string clientVersion = "1.1") => TestNode.StartAsync(
        [backend.Address], pool =>
            pool with { HttpVersion = HttpVersion.Version20 }, listener => listener with { HttpVersion = Version.Parse(clientVersion) });

    private static HttpClient Client(TestNode node, string version) =>
        new(TestNode.NewHandler())
        {
            BaseAddress = node.Client.BaseAddress,
            DefaultRequestVersion = Version.Parse(version),
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact
        };

    /// <summary>A body that goes out piece by piece while the answer already comes in.</summary>
    private sealed class DuplexContent : HttpContent
    {
        private readonly TaskCompletionSource<Stream> _stream = new();
        private readonly TaskCompletionSource _end = new();

        public Task<Stream> Stream => _stream.Task;

        public void End() => _end.SetResult();

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.FlushAsync();
            _stream.SetResult(stream);
            await _end.Task;
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
