using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Upstream;

/// <summary>Backends behind https://, and what TLS negotiates with them.</summary>
internal sealed class SecureBackendTests
{
    private const string Get = "GET /a%2Fb/../c//d?x=%7e&&y HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

    // The framework would take the method for HEAD.
    private const string Unforwardable = "GET / HTTP/1.1\r\nHost: a\r\nX-Control: \u0001\r\nConnection: close\r\n\r\n";

    private TestCertificates _certificates = null!;

    [SetUp]
    public void MakeCertificates() => _certificates = new TestCertificates();

    [TearDown]
    public void DeleteCertificates() => _certificates.Dispose();

    [TestCase(HttpProtocols.Http1, "HTTP/1.1")]
    [TestCase(HttpProtocols.Http1AndHttp2, "HTTP/2")]
    [TestCase(HttpProtocols.Http2, "HTTP/2")]
    public async Task Get_SecureBackend_SpeaksWhatIsNegotiated(HttpProtocols spoken, string protocol)
    {
        await using var backend = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync($"{context.Request.Scheme} {context.Request.Host}"), spoken,
                _certificates.Issue("b", "127.0.0.1"));
        await using var node = await StartAsync(backend, new() { AuthorityFile = _certificates.AuthorityFile });

        for (var i = 0; i < 3; i++)
        {
            (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200 OK").And.Contain("https shop.example");
        }

        backend.Requests.Should().HaveCount(3).And.AllBe($"{protocol} GET /a%2Fb/../c//d?x=%7e&&y");
    }

    [Test]
    public async Task Get_ManyAtOnce_AreAllAnswered([Values(HttpProtocols.Http1, HttpProtocols.Http2)] HttpProtocols spoken)
    {
        await using var backend = await KestrelBackend.StartAsync(
            async context => await context.Response.WriteAsync(context.Request.Path), spoken, _certificates.Issue("b", "127.0.0.1"));
        await using var node = await TestNode.StartAsync(
            // However slow the machine, no handshake is too late.
            [backend.Address], pool =>
                pool with { Tls = new() { AuthorityFile = _certificates.AuthorityFile } }, time: new FakeTimeProvider());

        var answers = await Task.WhenAll(
            Enumerable.Range(0, 300).Select(i => node.Client.GetStringAsync(new Uri($"/{i}", UriKind.Relative))));

        answers.Should().Equal(Enumerable.Range(0, 300).Select(i => $"/{i}"));
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0] is { InFlight: 0, Failures: 0 }, "every lease is given back");
    }

    [TestCase(true, false, null, "200")] // checked against its own authority
    [TestCase(false, false, null, "502")] // the system does not know that authority
    [TestCase(false, true, null, "200")] // the certificate is not checked
    [TestCase(true, false, "b.example", "200")]
    [TestCase(true, false, "c.example", "502")] // it bears another name
    public async Task Get_SecureBackend_MustProveWhoItIs(bool isAuthorityGiven, bool isBlind, string? serverName, string status)
    {
        await using var backend =
            await KestrelBackend.StartAsync(context => context.Response.WriteAsync("ok"), HttpProtocols.Http1,
            _certificates.Issue("b", "127.0.0.1", "b.example"));
        await using var node = await StartAsync(
            backend, new()
            {
                AuthorityFile = isAuthorityGiven
                ? _certificates.AuthorityFile : null,
                Verify = !isBlind,
                ServerName = serverName
            });

        var answer = await node.ExchangeAsync(Get);

        answer.Should().StartWith($"HTTP/1.1 {status}");
        if (status == "502")
        {
            answer.Should().Contain("Proxy-Status: loadbalancer; error=tls_certificate_error\r\n")
                .And.EndWith("\r\n\r\nNo secure connection to the backend\n");
            backend.Requests.Should().BeEmpty();
        }
    }

    [Test]
    public async Task Get_BackendSpeaksNoTls_Is502()
    {
        await using var backend = new RawServer((peer, _) => peer.SendAsync("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
        await using var node =
            await TestNode.StartAsync([backend.Address.Replace("http:", "https:", StringComparison.Ordinal)],
            pool => pool with { Tls = new() { Verify = false } });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502");
    }

    [Test]
    public async Task Get_TwoPoolsOneServer_DoNotShareConnections()
    {
        await using var backend = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync(context.Connection.Id), HttpProtocols.Http1, _certificates.Issue("b", "127.0.0.1"));
        await using var node = await TestNode.StartAsync(
            [backend.Address], pool => pool with { Tls = new() { Verify = false } },
                listener => listener with { Routes = [new() { Path = "/strict", Pool = "strict" }] },
            otherPools: new() { ["strict"] = backend.Address });

        (await node.Client.GetAsync(new Uri("/", UriKind.Relative))).StatusCode.Should().Be(HttpStatusCode.OK);
        (await node.Client.GetAsync(new Uri("/strict", UriKind.Relative))).StatusCode.Should()
            .Be(HttpStatusCode.BadGateway, "what one pool trusts blindly another does not");
    }

    [Test]
    public async Task Get_IdleConnectionClosedByTheBackend_IsNotTheUsersProblem()
    {
        var port = ReservedPorts.Next();
        var certificate = _certificates.Issue("b", "127.0.0.1");
        var backend = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync("one"), HttpProtocols.Http1, certificate, port);
        await using var node = await StartAsync(backend, new() { Verify = false });
        (await node.Client.GetStringAsync(new Uri("/", UriKind.Relative))).Should().Be("one");

        await backend.DisposeAsync();
        await using var successor =
            await KestrelBackend.StartAsync(context => context.Response.WriteAsync("two"), HttpProtocols.Http1, certificate, port);

        (await node.Client.GetStringAsync(new Uri("/", UriKind.Relative))).Should().Be("two");
    }

    [Test]
    public async Task Upgrade_SecureBackendThatPrefersHttp2_GoesOverHttp1()
    {
        await using var backend = await KestrelBackend.StartAsync(
            async context =>
            {
                if (context.Features.Get<IHttpUpgradeFeature>() is not { IsUpgradableRequest: true } upgrade)
                {
                    await context.Response.WriteAsync("plain");
                    return;
                }
                context.Response.Headers.Upgrade = "echo";
                await using var stream = await upgrade.UpgradeAsync();
                await stream.CopyToAsync(stream);
            },
            HttpProtocols.Http1AndHttp2, _certificates.Issue("b", "127.0.0.1"));
        await using var node = await StartAsync(backend, new() { Verify = false });
        (await node.ExchangeAsync(Get)).Should().Contain("plain");
        using var client = await node.ConnectAsync();

        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello");

        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101");
        (await client.ReadAsync(5)).Should().Be("hello");
    }

    [TestCase(HttpProtocols.Http1)]
    [TestCase(HttpProtocols.Http2)]
    public async Task Probe_SecureBackend_IsUpOnlyWhereItProvesItself(HttpProtocols spoken)
    {
        await using var backend = await KestrelBackend.StartAsync(_ => Task.CompletedTask, spoken, _certificates.Issue("b", "127.0.0.1"));

        (await HealthAsync(new() { AuthorityFile = _certificates.AuthorityFile })).Should().Be(HttpStatusCode.OK);
        (await HealthAsync(new())).Should().Be(HttpStatusCode.ServiceUnavailable);

        async Task<HttpStatusCode> HealthAsync(BackendTlsOptions tls)
        {
            await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { Tls = tls, HealthCheck = new() });
            return (await node.Client.GetAsync(new Uri("/", UriKind.Relative))).StatusCode;
        }
    }

    [Test]
    public async Task AuthorityFile_Changes_IsTakenUpByRequestsAndProbes()
    {
        var clock = new FakeTimeProvider();
        using var others = new TestCertificates();
        var file = _certificates.AuthorityFile;
        var port = ReservedPorts.Next();
        var backend = await StartClosingAsync(_certificates.Issue("b", "127.0.0.1"), port);
        await using var node =
            await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { AuthorityFile = file }, HealthCheck = new() },
            time: clock);
        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200");

        _certificates.Write("authority.pem", "-----BEGIN CERTIFICATE-----\nMIIB");
        clock.Advance(TimeSpan.FromSeconds(5));
        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200", "a half-written file is not taken up");

        await backend.DisposeAsync();
        backend = await StartClosingAsync(others.Issue("b", "127.0.0.1"), port);
        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502", "its certificate is from an authority that is not trusted yet");
        _certificates.Write("authority.pem", File.ReadAllText(others.AuthorityFile));
        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(TimeSpan.FromSeconds(1));
                return node.Pool.Snapshot.Members[0].Health.IsUp;
            },
            "the probes trust the new authority");

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200");
        await backend.DisposeAsync();
    }

    [Test]
    public async Task Probe_SecureBackendOfAnHttp2PoolThatSpeaksHttp1_IsWell()
    {
        await using var backend =
            await KestrelBackend.StartAsync(_ => Task.CompletedTask, HttpProtocols.Http1, _certificates.Issue("b", "127.0.0.1"));
        await using var node = await TestNode.StartAsync(
            [backend.Address], pool =>
                pool with { HttpVersion = HttpVersion.Version20, Tls = new() { Verify = false }, HealthCheck = new() });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 200", "with https the version is negotiated");
    }

    [TestCase("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1)]
    [TestCase("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 61)]
    [TestCase("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 61)]
    public async Task Request_BackendNoLongerSpeaksHttp2_GoesOnOverHttp1(string request, int seconds)
    {
        var clock = new FakeTimeProvider();
        var port = ReservedPorts.Next();
        var certificate = _certificates.Issue("b", "127.0.0.1");
        var backend = await KestrelBackend.StartAsync(_ => Task.CompletedTask, HttpProtocols.Http2, certificate, port);
        await using var node =
            await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { Verify = false } }, time: clock);
        (await node.ExchangeAsync(Unforwardable)).Should().StartWith("HTTP/1.1 400", "HTTP/2 is negotiated, and the connection not used");
        // After a minute there is no connection that a request could be lost on. Before, one that is not safe to be sent twice could be.
        clock.Advance(TimeSpan.FromSeconds(seconds));

        await backend.DisposeAsync();
        backend = await StartClosingAsync(certificate, port);
        (await node.ExchangeAsync(request)).Should().StartWith("HTTP/1.1 200");
        backend.Requests.Should().ContainSingle().Which.Should().StartWith("HTTP/1.1");

        await backend.DisposeAsync();
        backend = await KestrelBackend.StartAsync(_ => Task.CompletedTask, HttpProtocols.Http2, certificate, port);
        (await node.ExchangeAsync(request)).Should().StartWith("HTTP/1.1 200");
        backend.Requests.Should().ContainSingle().Which.Should().StartWith("HTTP/2", "and back");
        await backend.DisposeAsync();
    }

    [Test]
    public async Task Get_ConnectionWasOpenedForARequestThatNeverUsedIt_IsNotSentOverItLongAfter()
    {
        var clock = new FakeTimeProvider();
        var port = ReservedPorts.Next();
        var certificate = _certificates.Issue("b", "127.0.0.1");
        var backend = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync("one"), HttpProtocols.Http2, certificate, port);
        await using var node =
            await TestNode.StartAsync([backend.Address], pool => pool with { Tls = new() { Verify = false } }, time: clock);
        (await node.ExchangeAsync(Unforwardable)).Should().StartWith("HTTP/1.1 400", "HTTP/2 is negotiated, and the connection not used");

        clock.Advance(TimeSpan.FromSeconds(1));
        await backend.DisposeAsync();
        await using var successor =
            await KestrelBackend.StartAsync(context => context.Response.WriteAsync("two"), HttpProtocols.Http2, certificate, port);

        (await node.ExchangeAsync(Get)).Should().Contain("two");
    }

    private static Task<KestrelBackend> StartClosingAsync(CertificateOptions certificate, int port) => KestrelBackend.StartAsync(
        context =>
        {
            context.Response.Headers.Connection = "close";
            return Task.CompletedTask;
        },
        HttpProtocols.Http1, certificate, port);

    private static Task<TestNode> StartAsync(KestrelBackend backend, BackendTlsOptions tls) =>
        TestNode.StartAsync([backend.Address], pool => pool with { Tls = tls });
}
