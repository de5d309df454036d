using System.Globalization;
using System.Threading.Channels;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Copies of requests for another pool: what it gets, and that the client does not notice it.</summary>
[TimeLimit(60)]
internal sealed class MirrorTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private readonly Channel<string> _copies = Channel.CreateUnbounded<string>();

    [Test]
    public async Task Copy_OfAGet_HasTheChangesOfItsRoute()
    {
        await using var shadow = Recording(Ok);
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, shadow, """
            "Path": "/api", "StripPrefix": true, "AddPrefix": "/v2", "HostHeader": "Backend",
            "RequestHeaders": { "Set": { "X-Where": "{route}/{pool}/{backend}", "X-Client": "{client}" }, "Remove": [ "Cookie" ] },
            """);

        (await GetAsync(node, "/api/x?y=%20", "Cookie: c\r\nX-Other: o\r\n")).Should().EndWith("\r\n\r\nok");

        var copy = await _copies.Reader.ReadAsync();
        copy.Should().StartWith("GET /v2/x?y=%20 HTTP/1.1\r\n").And.Contain($"\r\nHost: {shadow.Address["http://".Length..]}\r\n")
            .And.Contain("\r\nX-Where: some/shadow/s\r\n").And.Contain("\r\nX-Client: 127.0.0.1\r\n").And.Contain("\r\nX-Other: o\r\n")
            .And.Contain("\r\nX-Forwarded-For: 127.0.0.1\r\n").And.NotContain("Cookie");
        await CountsAsync(node, "answered", 1);
    }

    [TestCase("Content-Length: 5\r\n\r\nhello", "Content-Length: 5\r\n", "hello")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")]
    [TestCase("Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "Content-Length: 5\r\n", "hello")]
    public async Task Copy_OfAPost_HasTheBody(string message, string field, string body)
    {
        await using var shadow = Recording(Ok, body.Length);
        await using var backend = Reading();
        await using var node = await StartAsync(backend, shadow);

        await RawPeer.ExchangeAsync(node.Port, $"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{message}");

        var copy = await _copies.Reader.ReadAsync();
        copy.Should().Contain("\r\n" + field).And.EndWith("\r\n\r\n" + body).And.NotContain("Expect");
        await CountsAsync(node, "answered", 1);
    }

    [TestCase(65536, false, "answered")]
    [TestCase(65537, false, "too_large")]
    [TestCase(65536, true, "answered")]
    [TestCase(65537, true, "too_large")]
    public async Task Copy_OfALargeBody_IsSentUpToSixtyFourKilobytes(int size, bool isChunked, string result)
    {
        await using var shadow = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(Ok);
            await peer.ReadToItsEndAsync();
        });
        await using var backend = Reading();
        await using var node = await StartAsync(backend, shadow);
        var body = new string('x', size);

        (await RawPeer.ExchangeAsync(node.Port, $"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + (isChunked
            ? $"Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"
            : $"Content-Length: {size}\r\n\r\n{body}"))).Should().EndWith("\r\n\r\nok");

        await CountsAsync(node, result, 1);
    }

    [Test]
    public async Task Copy_BodyDoesNotEnd_IsNotSent()
    {
        await using var shadow = Recording(Ok);
        await using var backend = RawServer.Answering(Ok); // before the body
        await using var node = await StartAsync(backend, shadow);
        using (var client = await RawPeer.ConnectAsync(node.Port))
        {
            await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
            (await client.ReadResponseAsync()).Should().EndWith("ok");
        }

        await CountsAsync(node, "incomplete", 1);
        shadow.Accepted.Should().Be(0);
    }

    [Test]
    public async Task Copy_ClientGoesAwayInItsBody_IsNotSent()
    {
        await using var shadow = Recording(Ok);
        await using var backend = Reading();
        await using var node = await StartAsync(backend, shadow);
        using (var client = await RawPeer.ConnectAsync(node.Port))
        {
            await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
            await Eventually.BeTrueAsync(() => backend.Open == 1, "the request has arrived");
            client.Reset();
        }

        await CountsAsync(node, "incomplete", 1);
        shadow.Accepted.Should().Be(0);
    }

    [Test]
    public async Task Copy_BodyByteByByte_IsSentWhole()
    {
        await using var shadow = Recording(Ok, 15);
        await using var backend = Reading();
        await using var node = await StartAsync(backend, shadow);
        using var client = await RawPeer.ConnectAsync(node.Port);

        await client.SendByteByByteAsync(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
        (await client.ReadResponseAsync()).Should().EndWith("ok");

        (await _copies.Reader.ReadAsync()).Should().Contain("\r\nTransfer-Encoding: chunked\r\n");
    }

    [Test]
    public async Task Copy_ForAnHttp2Pool_IsSent([Values("GET", "POST")] string method)
    {
        await using var shadow = await KestrelBackend.StartAsync(
            async context =>
            {
                using var reader = new StreamReader(context.Request.Body);
                _copies.Writer.TryWrite($"{context.Request.Method} {context.Request.Path} {await reader.ReadToEndAsync()}");
                await context.Response.WriteAsync(new string('x', 100_000));
                context.Response.AppendTrailer("x-sum", "1");
            },
            HttpProtocols.Http2);
        await using var backend = RawServer.Answering(Ok);
        await using var node = await ConfiguredNode.StartAsync(
            $$"""
            { "web": { "Backends": { "b": { "Address": "{{backend.Address}}" } } },
              "shadow": { "HttpVersion": "2", "Backends": { "s": { "Address": "{{shadow.Address}}" } } } }
            """,
            """ "Routes": [ { "Name": "some", "Pool": "web", "Mirror": { "Pool": "shadow" } } ], """);
        using var request = new HttpRequestMessage(new HttpMethod(method), "/x");
        request.Content = method == "POST" ? new StringContent("hello") : null;

        using var response = await node.Client.SendAsync(request);

        (await _copies.Reader.ReadAsync()).Should().Be($"{method} /x {(method == "POST" ? "hello" : "")}");
        await CountsAsync(node, "answered", 1);
    }

    [TestCase("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")]
    [TestCase("TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")]
    public async Task Copy_OfATunnelOrARefusedRequest_IsNotSent(string request)
    {
        await using var shadow = Recording(Ok);
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        });
        await using var node = await StartAsync(backend, shadow);
        using var client = await RawPeer.ConnectAsync(node.Port);
        await client.SendAsync(request);
        await client.ReadResponseAsync();

        (await GetAsync(node, "/next")).Should().EndWith("ok");

        (await _copies.Reader.ReadAsync()).Should().StartWith("GET /next ");
    }

    [Test]
    public async Task Share_Zero_CopiesNothing()
    {
        await using var shadow = Recording(Ok);
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, shadow, share: 0);

        for (var i = 0; i < 20; i++)
        {
            await GetAsync(node, "/");
        }

        shadow.Accepted.Should().Be(0);
        (await node.Management.GetStringAsync("/metrics")).Should().NotContain("loadbalancer_mirrored_total{");
    }

    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")]
    [TestCase("nonsense\r\n\r\n")]
    [TestCase("")]
    public async Task Shadow_BreaksOff_ClientsDoNotNoticeAndItIsPaused(string response)
    {
        var clock = new FakeClock();
        await using var shadow = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(response);
        });
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, shadow, time: clock);

        for (var i = 1; i <= 10; i++)
        {
            (await GetAsync(node, "/")).Should().EndWith("\r\n\r\nok");
            await CountsAsync(node, "failed", i);
        }
        await GetAsync(node, "/");
        await CountsAsync(node, "dropped", 1);
        clock.Advance(TimeSpan.FromSeconds(1));
        await GetAsync(node, "/");
        await CountsAsync(node, "failed", 11);

        (await node.Management.GetStringAsync("/metrics")).Should()
            .Contain("loadbalancer_backend_healthy{pool=\"shadow\",backend=\"s\"} 1", "copies say nothing about a backend")
            .And.Contain("loadbalancer_backend_failures_total{pool=\"shadow\",backend=\"s\"} 0")
            .And.NotContain("loadbalancer_requests_total{pool=\"shadow\"");
        node.Log.Lines.Should().OnlyContain(line => line.StartsWith("Information", StringComparison.Ordinal));
    }

    [Test]
    public async Task Shadow_RefusesConnections_IsOutOfUseAndClientsDoNotNotice()
    {
        await using var shadow = Recording(Ok);
        await shadow.KillAsync();
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, shadow);

        (await GetAsync(node, "/")).Should().EndWith("\r\n\r\nok");
        await CountsAsync(node, "failed", 1);
        (await GetAsync(node, "/")).Should().EndWith("\r\n\r\nok");
        await CountsAsync(node, "dropped", 1);
    }

    [Test]
    public async Task Shadow_Hangs_CopiesBeyondTheLimitAreDropped()
    {
        await using var shadow = new RawServer(async (peer, _) => await peer.ReadToItsEndAsync());
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, shadow);

        for (var i = 0; i < MirrorSender.MaxInFlight + 3; i++)
        {
            (await node.Client.GetStringAsync(new Uri("/", UriKind.Relative))).Should().Be("ok");
        }

        await CountsAsync(node, "dropped", 3);
    }

    [Test]
    public async Task Shadow_Hangs_CopyEndsAfterTheResponseTimeout()
    {
        var clock = new FakeClock();
        await using var shadow = new RawServer(async (peer, _) => await peer.ReadToItsEndAsync());
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, shadow, time: clock);
        (await GetAsync(node, "/")).Should().EndWith("\r\n\r\nok");
        await Eventually.BeTrueAsync(() => shadow.Open == 1, "the copy has arrived");

        await Eventually.BeTrueAsync(
            async () =>
            {
                clock.Advance(TimeSpan.FromSeconds(61));
                return (await node.Management.GetStringAsync("/metrics")).Contains(Line("failed", 1), StringComparison.Ordinal);
            },
            "the copy is given up");
    }

    [Test]
    public async Task Shadow_AtItsLimit_CopyIsDropped()
    {
        await using var shadow = new RawServer(async (peer, _) => await peer.ReadToItsEndAsync());
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, shadow, limit: "1");

        await GetAsync(node, "/");
        await GetAsync(node, "/");

        await CountsAsync(node, "dropped", 1);
    }

    private static string Line(string result, int count) => $"loadbalancer_mirrored_total{{route=\"some\",result=\"{result}\"}} {count}";

    private static Task CountsAsync(ConfiguredNode node, string result, int count) => Eventually.BeTrueAsync(
        async () => (await node.Management.GetStringAsync("/metrics")).Contains(Line(result, count), StringComparison.Ordinal),
        $"{count} {result}");

    private static Task<string> GetAsync(ConfiguredNode node, string target, string fields = "") =>
        RawPeer.ExchangeAsync(node.Port, $"GET {target} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");

    private static Task<ConfiguredNode> StartAsync(
        RawServer backend, RawServer shadow, string route = "", int share = 1, string limit = "null", TimeProvider? time = null) =>
        ConfiguredNode.StartAsync(
            $$"""
            { "web": { "Backends": { "b": { "Address": "{{backend.Address}}" } } },
              "shadow": { "Backends": { "s": { "Address": "{{shadow.Address}}", "MaxInFlight": {{limit}} } } } }
            """,
            $$""" "Routes": [ { "Name": "some", {{route}} "Pool": "web", "Mirror": { "Pool": "shadow", "Share": {{share}} } } ], """,
            time: time);

    // Reads bodies of any size before it answers.
    private static RawServer Reading() => new(async (peer, _) =>
    {
        var head = await peer.ReadHeadAsync() ?? "";
        if (head.Contains("chunked", StringComparison.Ordinal))
        {
            await peer.ReadUntilAsync("0\r\n\r\n");
        }
        else
        {
            await peer.ReadAsync(int.Parse(head.Split("Content-Length: ")[1].Split("\r\n")[0], CultureInfo.InvariantCulture));
        }
        await peer.SendAsync(Ok);
        await peer.ReadToItsEndAsync();
    });

    private RawServer Recording(string response, int bodyLength = 0) => new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            await _copies.Writer.WriteAsync(head + await peer.ReadAsync(bodyLength));
            await peer.SendAsync(response);
        }
    });
}
