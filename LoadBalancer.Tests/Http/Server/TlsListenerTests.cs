using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>HTTP through TLS, and how plain clients are brought there. See also ListenerTlsTests.</summary>
internal sealed class TlsListenerTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private TestCertificates _certificates = null!;

    [SetUp]
    public void MakeCertificates() => _certificates = new TestCertificates();

    [TearDown]
    public void DeleteCertificates() => _certificates.Dispose();

    [TestCase("GET /a?secret HTTP/1.1\r\nHost: a\r\n\r\n", "\"GET /a HTTP/1.1\" 400 49 ")]
    [TestCase("POST /b HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", "\"POST /b HTTP/1.0\" 400 49 ")]
    [TestCase("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\"PRI * HTTP/2.0\" 400 49 ")]
    public async Task Request_PlainOnATlsPort_Gets400InPlainTextAndALine(string request, string line)
    {
        await using var backend = RawServer.Answering(Ok);
        var log = _certificates.Write("access.log", "");
        var certificate = _certificates.Issue("it", "it.test");
        await using var node = await TestNode.StartAsync([backend.Address], listener: listener => listener with
        {
            Address = TestNode.Parse("https://127.0.0.1:0"),
            Certificates = [certificate],
            AccessLog = log,
        });

        var answer = await node.ExchangeAsync(request);

        answer.Should().StartWith("HTTP/1.1 400 Bad Request\r\n").And.Contain("\r\nConnection: close\r\n")
            .And.EndWith("\r\n\r\nThe plain HTTP request was sent to an HTTPS port\n");
        backend.Accepted.Should().Be(0);
        await Eventually.BeTrueAsync(() => File.ReadAllText(log).Contains(line, StringComparison.Ordinal), "it is logged");
    }

    [TestCase("http/1.0")]
    [TestCase("http/1.1")]
    [TestCase("h2")]
    public async Task Protocol_OfferedAlone_IsTaken(string protocol)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, _certificates.Issue("it", "it.test"));

        await using var tls = await HandshakeAsync(node, new SslClientAuthenticationOptions
        {
            TargetHost = "it.test",
            ApplicationProtocols = [new SslApplicationProtocol(protocol)],
        });

        tls.NegotiatedApplicationProtocol.ToString().Should().Be(protocol);
    }

    [Test]
    public async Task Request_Http10OverTls_IsAnswered()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, _certificates.Issue("it", "it.test"));
        await using var tls = await HandshakeAsync(node, new SslClientAuthenticationOptions
        {
            TargetHost = "it.test",
            ApplicationProtocols = [new SslApplicationProtocol("http/1.0")],
        });
        using var reader = new StreamReader(tls);

        await tls.WriteAsync("GET / HTTP/1.0\r\n\r\n"u8.ToArray());

        (await reader.ReadToEndAsync()).Should().StartWith("HTTP/1.1 200").And.EndWith("\r\n\r\nok");
    }

    [Test]
    public async Task Ciphers_ChangedWhileRunning_HoldForNewConnections()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, listener => listener);
        await using (await HandshakeAsync(node, "it.test", SslProtocols.Tls12))
        {
        }

        node.Listener.Apply(new HttpListenerOptions
        {
            Address = TestNode.Parse("https://127.0.0.1:0"),
            Certificates = [_certificates.Issue("it", "it.test")],
            Pool = "web",
            MinProtocol = TlsVersion.Tls13,
        });

        await FluentActions.Awaiting(() => HandshakeAsync(node, "it.test", SslProtocols.Tls12)).Should().ThrowAsync<Exception>();
    }

    [Test]
    public async Task Request_MalformedOverTls_IsRefusedWithItsCause()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await StartAsync(backend, _certificates.Issue("it", "it.test"));
        await using var tls = await HandshakeAsync(node, "it.test", SslProtocols.None);
        using var reader = new StreamReader(tls);

        await tls.WriteAsync("nonsense\r\n\r\n"u8.ToArray());

        (await reader.ReadToEndAsync()).Should().StartWith("HTTP/1.1 400")
            .And.Contain("\r\nProxy-Status: loadbalancer; error=http_request_error\r\n").And.EndWith("\r\n\r\nThe request is malformed\n");
    }

    [TestCase("1.1")]
    [TestCase("2.0")]
    public async Task Request_OverTls_IsForwardedAndSaysHttps(string version)
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync(Ok);
        });
        await using var node = await StartAsync(backend, listener => listener with { Via = "edge" });
        var target = new Uri($"https://127.0.0.1:{node.Port}/a%2Fb/../c//d?x=%7e&&y",
            new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });
        using var request = new HttpRequestMessage(
            HttpMethod.Get, target)
        { Version = Version.Parse(version), VersionPolicy = HttpVersionPolicy.RequestVersionExact };

        using var response = await node.Client.SendAsync(request);

        (await response.Content.ReadAsStringAsync()).Should().Be("ok");
        response.Version.Should().Be(Version.Parse(version));
        head.Should().StartWith("GET /a%2Fb/../c//d?x=%7e&&y HTTP/1.1\r\nHost: ").And.Contain("X-Forwarded-Proto: https\r\n")
            .And.Contain($"Via: {version.Replace(".0", "", StringComparison.Ordinal)} edge\r\n");
    }

    [Test]
    public async Task Redirect_PlainListener_LeadsToTheHttpsOneAsItStands()
    {
        await using var backend = RawServer.Answering(Ok);
        var certificate = _certificates.Issue("it", "it.test");
        var port = ReservedPorts.Next();
        await using var node = await TestNode.StartAsync(
            [backend.Address], listener: listener =>
                listener with { RedirectToHttps = true, TrustedProxies = [IPNetwork.Parse("127.0.0.2/32")] },
            otherListeners: new()
            {
                ["tls"] =
                new HttpListenerOptions
                {
                    Address = TestNode.Parse($"https://127.0.0.1:{port}"),
                    Certificates = [certificate],
                    Pool = "web"
                }
            });

        var answer = await node.ExchangeAsync("POST /a%2Fb/../c?x=%7e HTTP/1.1\r\nHost: it.test:8080\r\nX-Forwarded-Proto: https\r\n" +
            "Content-Length: 0\r\nConnection: close\r\n\r\n");

        answer.Should().StartWith("HTTP/1.1 308 Permanent Redirect\r\n")
            .And.Contain($"Location: https://it.test:{port}/a%2Fb/../c?x=%7e\r\n");
        backend.Accepted.Should().Be(0);
    }

    [Test]
    public async Task Redirect_TrustedProxySaysHttps_IsForwarded()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync(
            [backend.Address], listener: listener =>
                listener with { RedirectToHttps = true, TrustedProxies = [IPNetwork.Parse("127.0.0.1/32")] });

        (await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 200");
        (await node.ExchangeAsync("GET / HTTP/1.1\r\nHost: a:8080\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 308").And.Contain("Location: https://a/\r\n");
    }

    [TestCase("", "max-age=60")]
    [TestCase("Strict-Transport-Security: max-age=1\r\n", "max-age=1")]
    public async Task Hsts_TlsListener_IsAddedUnlessTheBackendSentIt(string field, string expected)
    {
        await using var backend =
            RawServer.Answering($"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\n{field}Set-Cookie: b\r\nContent-Length: 2\r\n\r\nok");
        var certificate = _certificates.Issue("it", "it.test");
        await using var node = await TestNode.StartAsync(
            [backend.Address], listener: listener =>
                listener with { Address = TestNode.Parse("https://127.0.0.1:0"), Certificates = [certificate], Hsts = "max-age=60" });

        using var response = await node.Client.GetAsync(new Uri("/", UriKind.Relative));

        response.Headers.GetValues("Strict-Transport-Security").Should().Equal(expected);
    }

    private static Task<TestNode> StartAsync(RawServer backend, params CertificateOptions[] certificates) =>
        StartAsync(backend, TimeProvider.System, certificates);

    private static Task<TestNode> StartAsync(RawServer backend, TimeProvider time, params CertificateOptions[] certificates) =>
        TestNode.StartAsync([backend.Address], listener: listener =>
        listener with { Address = TestNode.Parse("https://127.0.0.1:0"), Certificates = certificates }, time: time);

    private Task<TestNode> StartAsync(RawServer backend, Func<HttpListenerOptions, HttpListenerOptions> change)
    {
        var certificate = _certificates.Issue("it", "it.test");
        return TestNode.StartAsync([backend.Address], listener: listener =>
            change(listener with { Address = TestNode.Parse("https://127.0.0.1:0"), Certificates = [certificate] }));
    }

    private static async Task<string> SubjectAsync(TestNode node, string serverName)
    {
        await using var tls = await HandshakeAsync(node, serverName, SslProtocols.None);
        return SubjectOf(tls);
    }

    private static string SubjectOf(SslStream tls) =>
        new X509Certificate2(tls.RemoteCertificate!).GetNameInfo(X509NameType.SimpleName, false);

    private static Task<SslStream> HandshakeAsync(
        TestNode node, string serverName, SslProtocols protocols, RemoteCertificateValidationCallback? check = null) =>
        HandshakeAsync(node, new SslClientAuthenticationOptions
        {
            TargetHost = serverName,
            EnabledSslProtocols = protocols,
            RemoteCertificateValidationCallback = check,
        });

    private static async Task<SslStream> HandshakeAsync(TestNode node, SslClientAuthenticationOptions options)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, node.Port);
        var tls = new SslStream(new NetworkStream(socket, ownsSocket: true));
        options.RemoteCertificateValidationCallback ??= (_, _, _, _) => true;
        await tls.AuthenticateAsClientAsync(options);
        return tls;
    }
}
