using System.Security.Authentication;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Upstream;

/// <summary>
/// TLS towards backends: whom the load balancer believes, and how connections end. Requests and probes are held to the same.
/// </summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class BackendTlsTests : IDisposable
{
    private const string Get = "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private readonly TestCertificates _certificates = new();

    public void Dispose() => _certificates.Dispose();

    [TestCase("good", null)]
    [TestCase("intermediate", null)]
    [TestCase("rsa", null)]
    [TestCase("wildcard", null)]
    [TestCase("international", null)]
    [TestCase("expired", "NotTimeValid")]
    [TestCase("early", "NotTimeValid")]
    [TestCase("other", "RemoteCertificateNameMismatch")]
    [TestCase("deeper", "RemoteCertificateNameMismatch")]
    [TestCase("stranger", "PartialChain")]
    [TestCase("client", "NotValidForUsage")]
    public async Task Certificate_OfABackend_IsBelievedOnlyIfItProvesTheName(string kind, string? reason)
    {
        using var strangers = new TestCertificates();
        var now = TimeProvider.System.GetUtcNow();
        var certificate = kind switch
        {
            "intermediate" => _certificates.IssueThroughIntermediate("b", "b.example"),
            "rsa" => _certificates.IssueRsa("b", "b.example"),
            "wildcard" => _certificates.Issue("b", "*.shop.example"),
            "international" => _certificates.Issue("b", "xn--bcher-kva.example"),
            "expired" => _certificates.IssueUntil(now.AddMinutes(-1), "b", "b.example"),
            "early" => _certificates.IssueFrom(now.AddHours(1), "b", "b.example"),
            "other" => _certificates.Issue("b", "127.0.0.1", "c.example"),
            "deeper" => _certificates.Issue("b", "*.shop.example"),
            "stranger" => strangers.Issue("b", "b.example"),
            "client" => _certificates.IssueForClients("b", "b.example"),
            _ => _certificates.Issue("b", "b.example"),
        };
        var serverName = kind switch
        {
            "international" => "bücher.example",
            "wildcard" => "b.shop.example",
            "deeper" => "a.b.shop.example",
            _ => "b.example",
        };
        await using var backend = new TlsServer(certificate, tls => AnswerAsync(tls));
        var tls = new BackendTlsOptions { AuthorityFile = _certificates.AuthorityFile, ServerName = serverName };
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = tls });
        await using var probing = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = tls, HealthCheck = new() });

        var answer = await node.ExchangeAsync(Get);

        answer.Should().StartWith(reason is null ? "HTTP/1.1 200" : "HTTP/1.1 502");
        (await probing.ExchangeAsync(Get)).Should().StartWith(reason is null ? "HTTP/1.1 200" : "HTTP/1.1 503");
        if (reason is not null)
        {
            answer.Should().Contain("error=tls_certificate_error");
            await probing.Log.SaysAsync("pool 'web': backend 'b1' is down", reason);
        }
    }

    [TestCase("127.0.0.1", "127.0.0.1", "200")]
    [TestCase("localhost", "localhost", "200")]
    [TestCase("127.0.0.1", "localhost", "502")]
    public async Task Certificate_NoServerName_MustHaveTheHostOfTheAddress(string host, string name, string status)
    {
        await using var backend = new TlsServer(_certificates.Issue("b", name), tls => AnswerAsync(tls));
        await using var node = await TestNode.StartAsync(
            [$"https://{host}:{backend.Port}"], pool => pool with { Tls = new() { AuthorityFile = _certificates.AuthorityFile } });

        (await node.ExchangeAsync(Get)).Should().StartWith($"HTTP/1.1 {status}");
    }

    // It would be done in the handshake, by a thread that serves others, and to wherever the certificate says.
    [TestCase(true)]
    [TestCase(false)]
    public async Task Certificate_SaysWhereItsIssuerIs_NothingIsFetched(bool hasAuthority)
    {
        var isFetched = false;
        await using var web = new RawServer(async (peer, _) =>
        {
            isFetched = true;
            await peer.SendAsync("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        });
        var certificate = _certificates.IssueThroughAbsentIntermediate("b", $"{web.Address}/issuer.cer", "127.0.0.1");
        await using var backend = new TlsServer(certificate, tls => AnswerAsync(tls));
        await using var node = await TestNode.StartAsync(
            [backend.Address], pool => pool with { Tls = new() { AuthorityFile = hasAuthority ? _certificates.AuthorityFile : null } });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502");

        isFetched.Should().BeFalse();
    }

    [Test]
    public async Task Protocol_OlderThanTls12_IsRefused()
    {
#pragma warning disable CA5397, SYSLIB0039 // What is refused must be offered.
        await using var backend = new TlsServer(_certificates.IssueRsa("b", "127.0.0.1"), tls => AnswerAsync(tls), SslProtocols.Tls11);
#pragma warning restore CA5397, SYSLIB0039
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { Verify = false } });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502");
    }

    [TestCase(SslProtocols.Tls12)]
    [TestCase(SslProtocols.Tls13)]
    public async Task Protocol_Tls12And13_AreSpoken(SslProtocols protocol)
    {
        await using var backend = new TlsServer(_certificates.Issue("b", "127.0.0.1"), tls => AnswerAsync(tls), protocol);
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { Verify = false } });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200");
    }

    [Test]
    public async Task Handshake_BackendSaysNothing_Is504InTime()
    {
        var clock = new FakeTimeProvider();
        await using var backend = new RawServer(async (peer, _) => await peer.ReadToItsEndAsync());
        await using var node = await TestNode.StartAsync(
            [$"https://127.0.0.1:{backend.Port}"], pool => pool with { Tls = new() { Verify = false } }, time: clock);

        var answer = node.ExchangeAsync(Get);
        await Eventually.BeDoneAsync(answer, clock, TimeSpan.FromSeconds(1), "it is given up");

        (await answer).Should().StartWith("HTTP/1.1 504").And.Contain("error=connection_timeout");
    }

    // RFC 8446 section 6.1. It says that nothing was cut off.
    [TestCase(SslProtocols.Tls12)]
    [TestCase(SslProtocols.Tls13)]
    public async Task Connection_IsClosed_BackendGetsCloseNotify(SslProtocols protocol)
    {
        var end = new TaskCompletionSource<bool>();
        await using var backend = new TlsServer(
            _certificates.Issue("b", "127.0.0.1"),
            async tls =>
            {
                await AnswerAsync(tls, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                end.TrySetResult(await tls.EndsWithCloseNotifyAsync());
            },
            protocol);
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { Verify = false } });

        (await node.ExchangeAsync(Get)).Should().EndWith("ok");

        (await end.Task).Should().BeTrue();
    }

    [Test]
    public async Task Tunnel_ClientEndsIt_BackendGetsCloseNotify()
    {
        var end = new TaskCompletionSource<bool>();
        await using var backend = new TlsServer(_certificates.Issue("b", "127.0.0.1"), async tls =>
        {
            await AnswerAsync(tls, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
            end.TrySetResult(await tls.EndsWithCloseNotifyAsync());
        });
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { Verify = false } });
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101");

        client.EndSending();

        (await end.Task).Should().BeTrue();
    }

    // Somebody between the two could have cut off the connection (RFC 9112 section 9.8).
    [TestCase(true, "HTTP/1.1 200", false)]
    [TestCase(false, "HTTP/1.1 200", true)]
    public async Task Response_ThatEndsWithTheConnection_IsCompleteOnlyWithCloseNotify(bool isNotified, string start, bool isCut)
    {
        await using var backend = new TlsServer(_certificates.Issue("b", "127.0.0.1"), async tls =>
        {
            await AnswerAsync(tls, "HTTP/1.1 200 OK\r\n\r\nsome of the body");
            if (isNotified)
            {
                await tls.Stream.ShutdownAsync();
            }
            tls.EndTcp();
        });
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { Verify = false } });
        using var client = await node.ConnectAsync();
        await client.SendAsync(Get);

        var (text, isReset) = await client.ReadToItsEndAsync();

        text.Should().StartWith(start);
        (isReset || !text.EndsWith("0\r\n\r\n", StringComparison.Ordinal) && text.Contains("chunked", StringComparison.Ordinal))
            .Should().Be(isCut);
    }

    private static async Task AnswerAsync(TlsServerPeer tls, string answer = Ok)
    {
        if (await tls.ReadHeadAsync())
        {
            await tls.Stream.WriteAsync(Encoding.ASCII.GetBytes(answer));
        }
    }
}
