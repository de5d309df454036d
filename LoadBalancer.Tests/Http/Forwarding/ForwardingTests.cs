using System.Net;
using System.Text.RegularExpressions;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>What reaches the backend, and what comes back, byte by byte.</summary>
internal sealed class ForwardingTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Test]
    public async Task Request_Get_ReachesTheBackendAsSent()
    {
        var seen = await RequestSeenAsync("GET /a%2Fb/../c//d?x=%7e&&y HTTP/1.1\r\nHost: shop.example:81\r\nX-Empty:\r\nX_under: 1\r\n" +
            "X-Byte: caf\u00e9\r\nConnection: close\r\n\r\n");

        seen.Should().Be("GET /a%2Fb/../c//d?x=%7e&&y HTTP/1.1\r\nHost: shop.example:81\r\nX-Empty: \r\nX_under: 1\r\nX-Byte: caf\u00e9\r\n"
            + "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop.example:81\r\n" +
                "\r\n");
    }

    [TestCase("/?")]
    [TestCase("/x?")]
    [TestCase("/??a?=?b?")]
    [TestCase("/a;b=1/c;d?e=1;f=2;;g")]
    [TestCase("//..//./%2e%2E/%2f")]
    [TestCase("/%zz%4%")]
    [TestCase("/a+b%20c%c3%a9")]
    [TestCase("/|{}\"<>^`\\[]'$!*()~@:,=&")]
    public async Task Request_Target_ReachesTheBackendAsSent(string target) =>
        (await RequestSeenAsync($"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        .Should().StartWith($"GET {target} HTTP/1.1\r\n");

    [Test]
    public async Task Request_RepeatedFields_KeepTheirNumberAndOrder()
    {
        var seen = await RequestSeenAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Many: 1\r\nAccept: x\r\nX-Many:\r\nCookie: c=1\r\nX-Many: 1\r\nAccept: y, z\r\nCookie: " +
                "d=2\r\nConnection: close\r\n\r\n");

        seen.Should().Contain("\r\nX-Many: 1\r\nX-Many: \r\nX-Many: 1\r\n").And.Contain("\r\nAccept: x\r\nAccept: y, z\r\n")
            .And.Contain("\r\nCookie: c=1\r\nCookie: d=2\r\n");
    }

    [Test]
    public async Task Request_UnderscoreNames_FrameNothing()
    {
        var seen = await RequestSeenAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 99\r\nTransfer_Encoding: chunked\r\nConnection: close\r\n\r\n");

        seen.Should().Contain("\r\nContent_Length: 99\r\nTransfer_Encoding: chunked\r\n").And.NotContain("Content-Length")
            .And.NotContain("Transfer-Encoding");
    }

    [Test]
    public async Task Request_Forwarding_NamesTheClient()
    {
        var seen = await RequestSeenAsync(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: " +
                "for=6.6.6.6\r\nVia: 1.0 other\r\nConnection: close\r\n\r\n");

        seen.Should().Contain(
            "\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n")
            .And.Contain("\r\nVia: 1.0 other\r\n").And.NotContain("6.6.6.6").And.NotContain("evil");
    }

    [TestCase("close, X-Mine\r\nConnection:")]
    [TestCase("X-Mine, Close")]
    [TestCase("keep-alive, X-Mine\r\nConnection: close, keep-alive")]
    [TestCase("X-Mine\r\nConnection: close")]
    [TestCase("close\r\nConnection: X-Mine")]
    [TestCase("keep-alive\r\nConnection: X-Mine")]
    [TestCase("x-mine\r\nConnection: Keep-Alive")]
    [TestCase("upgrade\r\nConnection: X-Mine, close")]
    [TestCase("Upgrade\r\nConnection: TE, X-Mine")]
    public async Task Request_HopByHopFields_AreRemoved(string connection)
    {
        var seen = await RequestSeenAsync(
            $"GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n" +
                $"Proxy-Authorization: x\r\nProxy-Authenticate: x\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nX-Kept: 1\r\n\r\n");

        seen.Should().StartWith("GET / HTTP/1.1\r\nHost: a\r\nX-Kept: 1\r\nX-Forwarded-For:");
    }

    [TestCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", "Content-Length: 5", "\r\n\r\nhello")]
    [TestCase("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "Content-Length: 0", "\r\n\r\n")]
    [TestCase("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
    public async Task Request_Body_KeepsItsFraming(string request, string framing, string end)
    {
        var seen = await RequestSeenAsync(request, end);

        seen.Should().Contain($"\r\n{framing}\r\n").And.EndWith(end)
            .And.NotContain(framing.StartsWith('C') ? "Transfer-Encoding" : "Content-Length");
    }

    [Test]
    public async Task Request_ViaTenTimes_IsRefusedAsALoop()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with { Via = "edge" });
        var via = string.Join(", ", Enumerable.Repeat("1.1 edge", 9));

        (await node.ExchangeAsync($"GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 200");
        (await node.ExchangeAsync($"GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\nVia: 1.1 edge\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 508");
        backend.Accepted.Should().Be(1);
    }

    [Test]
    public async Task Request_ViaTenTimesWithoutAName_IsForwarded()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        var via = string.Join(", ", Enumerable.Repeat("1.1 loadbalancer", 11));

        (await node.ExchangeAsync($"GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 200");
    }

    [Test]
    public async Task Response_Fields_ComeBackInNumberAndOrder()
    {
        var response = await ResponseToAsync("HTTP/1.1 201 Quite new\r\nSet-Cookie: a=1\r\nServer: mine\r\nX-Empty:\r\nSet-Cookie: " +
            "b=2\r\nX-Byte: caf\u00e9\r\nContent-Length: 2\r\n\r\nok");

        response.Should().StartWith("HTTP/1.1 201 Quite new\r\n").And.Contain("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n")
            .And.Contain("Server: mine\r\n").And.Contain("X-Empty: \r\n").And.Contain("X-Byte: caf\u00e9\r\n").And.EndWith("\r\n\r\nok");
        response.Split("Server:").Should().HaveCount(2);
    }

    [Test]
    public async Task Response_HopByHopFields_AreRemoved()
    {
        var response = await ResponseToAsync(
            "HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authenticate: x\r\nProxy-Authorization: x\r\nTE: x\r\n" +
                "Upgrade: h2c\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok");

        response.Should().MatchRegex(
            @"^HTTP/1\.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nDate: [^\r]+\r\nX-Kept: 1\r\n\r\nok$");
    }

    [TestCase("Connection: X-Hop\r\nConnection: close")]
    [TestCase("Connection: close, x-hop")]
    [TestCase("Connection: X-Hop\r\nConnection: keep-alive")]
    [TestCase("Connection: X-Hop\r\nConnection:")]
    public async Task Response_FieldsNamedByConnection_AreRemoved(string connection) =>
        (await ResponseToAsync($"HTTP/1.1 200 OK\r\n{connection}\r\nX-Hop: 1\r\nContent-Length: 2\r\n\r\nok"))
        .Should().NotContain("X-Hop").And.EndWith("ok");

    [Test]
    public async Task Response_Date_IsKeptAndNotDoubled()
    {
        var response = await ResponseToAsync("HTTP/1.1 200 OK\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n");

        response.Split("Date:").Should().HaveCount(2);
        response.Should().Contain("Date: Tue, 01 Jan 2030 00:00:00 GMT");
    }

    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world")]
    [TestCase("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello world")]
    [TestCase("HTTP/1.1 200 OK\r\n\r\nhello world")]
    [TestCase("HTTP/1.0 200 OK\r\n\r\nhello world")]
    public async Task Response_Body_ArrivesWhole(string response)
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendByteByByteAsync(response);
            peer.EndSending();
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        (await node.Client.GetStringAsync("/")).Should().Be("hello world");
    }

    [TestCase("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")]
    [TestCase("GET", "HTTP/1.1 204 No Content\r\n\r\n")]
    [TestCase("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")]
    [TestCase("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")]
    [TestCase("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [TestCase("HEAD", "HTTP/1.1 200 OK\r\n\r\n")]
    [TestCase("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")]
    [TestCase("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")]
    public async Task Response_WithoutBody_LeavesBothConnectionsUsable(string method, string response)
    {
        await using var backend = RawServer.Answering(response);
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 3; i++)
        {
            await client.SendAsync($"{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            var head = await client.ReadHeadAsync();
            head.Should().StartWith(response[..12]).And.NotContain("Connection: close");
            // RFC 9110 section 8.6: a 204 has no length.
            var length = response.StartsWith("HTTP/1.1 204", StringComparison.Ordinal)
                ? "" : Regex.Match(response, "Content-Length: .*\r\n").Value;
            Regex.Match(head!, "Content-Length: .*\r\n").Value.Should().Be(length);
        }
        backend.Accepted.Should().Be(1);
    }

    // RFC 9110 section 9.1: methods are case-sensitive, and what only looks like HEAD has a body like any other.
    [Test]
    public async Task Response_MethodThatOnlyLooksLikeHead_HasItsBody()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with { StatusEndpoints = true });
        using var client = await node.ConnectAsync();

        await client.SendAsync("hEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200").And.EndWith("\r\n\r\nok");
        await client.SendAsync("hEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
        (await client.ReadResponseAsync()).Should().EndWith("\r\n\r\nok", "nor is it among the requests that are answered here");
        await backend.KillAsync();
        await client.SendAsync("hEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 502").And.EndWith("\r\n\r\nThe backend could not be reached\n");
    }

    [TestCase("HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [TestCase("HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc")]
    [TestCase("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc")]
    public async Task Response_BodyWhereNoneMayBe_IsLeftOut(string response) =>
        (await ResponseToAsync(response)).Should().StartWith(response[..12]).And.NotContain("abc").And.EndWith("\r\n\r\n");

    [Test]
    public async Task Response_OneMegabyteEitherWay_ArrivesWhole()
    {
        var body = new byte[1024 * 1024 + 1];
        new Random(1).NextBytes(body);
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            var echo = await peer.ReadAsync(body.Length);
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {echo.Length}\r\n\r\n{echo}");
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        using var response = await node.Client.PostAsync("/", new ByteArrayContent(body));

        (await response.Content.ReadAsByteArrayAsync()).Should().Equal(body);
    }

    [Test]
    public async Task Response_SurplusBytes_AreNotTheNextResponse()
    {
        await using var backend = RawServer.Answering(Ok + "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
        await using var node = await TestNode.StartAsync([backend.Address]);

        for (var i = 0; i < 3; i++)
        {
            (await node.Client.GetStringAsync("/")).Should().Be("ok");
        }
        backend.Accepted.Should().Be(3);
    }

    [TestCase("Content-Length: 100\r\n\r\nhalf", "", false)]
    [TestCase("Content-Length: 100\r\n\r\nhalf", "", true)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "", false)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "", true)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n8\r\nhalf", "", false)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "zz\r\n", false)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "0\r\n", false)]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "0\r\nX-Sum: 1\r\n", false)]
    [TestCase("Connection: close\r\n\r\nhalf", "", true)]
    public async Task Response_BrokenOff_IsVisiblyBroken(string response, string rest, bool reset)
    {
        var arrived = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 200 OK\r\n" + response);
            await arrived.Task;
            await peer.SendAsync(rest);
            if (reset)
            {
                peer.Reset();
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");

        var seen = await client.ReadUntilAsync("half");
        arrived.SetResult();

        // A chunked body lacks its last chunk, and a body with a length is too short: it cannot be mistaken for a complete one.
        seen.Should().MatchRegex("(?i)(Content-Length: 100|Transfer-Encoding: chunked)\r\n");
        (await client.ReadToEndAsync()).Should().BeOneOf("", "\r\n");
        await Eventually.BeTrueAsync(() =>
            node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 1 }, "the lease is given back as failed");
    }

    [Test]
    public async Task Client_GoesAway_EndsTheBackendsWorkWithoutBlame()
    {
        var backendSawTheEnd = new TaskCompletionSource();
        var received = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            received.SetResult();
            await peer.ReadToEndAsync();
            backendSawTheEnd.SetResult();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        using (var client = await node.ConnectAsync())
        {
            await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            await received.Task;
        }

        await backendSawTheEnd.Task.WaitAsync(TimeLimits.Event);
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "the lease is given back");
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [TestCase("garbage\r\n\r\n", HttpStatusCode.BadGateway, "http_protocol_error")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", HttpStatusCode.BadGateway, "http_protocol_error")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HttpStatusCode.BadGateway,
        "http_protocol_error")]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", HttpStatusCode.BadGateway, "http_protocol_error")]
    [TestCase("", HttpStatusCode.BadGateway, "connection_terminated")]
    [TestCase("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", HttpStatusCode.BadGateway, "connection_terminated")]
    public async Task Backend_NoValidHead_Is502(string response, HttpStatusCode status, string cause)
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync(response);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        using var answer = await node.Client.GetAsync("/");

        answer.StatusCode.Should().Be(status);
        answer.Headers.GetValues("Proxy-Status").Should().Equal($"loadbalancer; error={cause}");
        (await answer.Content.ReadAsStringAsync()).Should().EndWith("\n").And.NotContain("at LoadBalancer");
    }

    [Test]
    public async Task Backend_InterimResponses_ArePassedOver()
    {
        (await ResponseToAsync("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + Ok))
            .Should().StartWith("HTTP/1.1 200").And.NotContain("Link").And.EndWith("\r\n\r\nok");
    }

    [Test]
    public async Task Backend_InterimResponsesWithoutEnd_Is502()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            while (true)
            {
                await peer.SendAsync("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address], time: new FakeTimeProvider()); // No deadline passes.

        (await node.ExchangeAsync("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 502").And.Contain("error=http_protocol_error");
    }

    private static async Task<string> RequestSeenAsync(string request, string end = "\r\n\r\n")
    {
        var seen = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            seen = await peer.ReadUntilAsync(end) ?? "";
            await peer.SendAsync(Ok);
            await peer.ReadToEndAsync();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        (await node.ExchangeAsync(request)).Should().StartWith("HTTP/1.1 200 OK").And.EndWith("ok");
        return seen;
    }

    private static async Task<string> ResponseToAsync(string response)
    {
        await using var backend = RawServer.Answering(response);
        await using var node = await TestNode.StartAsync([backend.Address]);
        return await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
}
