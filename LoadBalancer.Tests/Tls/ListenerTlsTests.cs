using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Tls;

/// <summary>
/// TLS of every kind of listener that ends it: which certificate, version and cipher suite. What differs between them is tested where
/// they are.
/// </summary>
[TestFixture("Http")]
[TestFixture("Tcp")]
[TestFixture("Management")]
[Category("Network")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ListenerTlsTests(string kind) : IAsyncDisposable
{
    private readonly TestCertificates _certificates = new();
    private readonly FakeTimeProvider _clock = new(TimeProvider.System.GetUtcNow());
    private readonly RawServer _backend = RawServer.Echoing();
    private ConfiguredNode? _node;

    public async ValueTask DisposeAsync()
    {
        if (_node is not null)
        {
            await _node.DisposeAsync();
        }
        await _backend.DisposeAsync();
        _certificates.Dispose();
    }

    [TestCase("shop.example", "shop.example")]
    [TestCase("SHOP.example", "shop.example")]
    [TestCase("a.example", "example")] // the wildcard's
    [TestCase("a.b.example", "default.test")]
    [TestCase("other.test", "default.test")]
    [TestCase("", "default.test")]
    [TestCase("xn--bcher-kva.example", "xn--bcher-kva.example")]
    [TestCase("b\u00fccher.example", "xn--bcher-kva.example")]
    public async Task Certificate_NameAskedFor_ChoosesIt(string serverName, string subject)
    {
        var port = await StartAsync(
            _certificates.Issue("default", "default.test"), _certificates.Issue("wildcard", "*.example"),
            _certificates.Issue("shop", "shop.example", "www.shop.example"), _certificates.Issue("idn", "xn--bcher-kva.example"));

        (await SubjectAsync(port, serverName)).Should().Be(subject);
    }

    [TestCase("pfx", null)]
    [TestCase("pfx", "secret")]
    [TestCase("pem", "secret")]
    public async Task Certificate_PfxOrEncryptedKey_IsUsed(string format, string? password)
    {
        var plain = _certificates.Issue("it", "it.test");
        var port = await StartAsync(
            format == "pfx" ? _certificates.AsPfx(plain, password) : _certificates.WithEncryptedKey(plain, password!));

        (await SubjectAsync(port, "it.test")).Should().Be("it.test");
    }

    [TestCase(TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "rsa.test")]
    [TestCase(TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "ecdsa.test")]
    [SupportedOSPlatform("linux")]
    public async Task Certificate_RsaAndEcdsaForAName_ClientGetsWhatItCanVerify(TlsCipherSuite suite, string subject)
    {
        var port = await StartAsync(
            _certificates.IssueRsa("rsa", "rsa.test", "it.test"), _certificates.Issue("ecdsa", "ecdsa.test", "it.test"));

        await using var tls = await HandshakeAsync(port, new SslClientAuthenticationOptions
        {
            TargetHost = "it.test",
            EnabledSslProtocols = SslProtocols.Tls12,
            CipherSuitesPolicy = new CipherSuitesPolicy([suite]),
        });

        SubjectOf(tls).Should().Be(subject);
    }

    [Test]
    public async Task Certificate_IssuerInItsFile_IsSentToo()
    {
        var port = await StartAsync(_certificates.IssueThroughIntermediate("it", "it.test"));
        var sent = new List<string>();

        await using var tls = await HandshakeAsync(port, new SslClientAuthenticationOptions
        {
            TargetHost = "it.test",
            RemoteCertificateValidationCallback = (_, _, chain, _) =>
            {
                sent.AddRange(chain!.ChainPolicy.ExtraStore.Select(certificate => certificate.Subject));
                return true;
            },
        });

        sent.Should().Contain("CN=Test Intermediate");
    }

    [Test]
    public async Task Certificate_FilesChange_IsTakenUpWithinFiveSeconds()
    {
        var port = await StartAsync(_certificates.Issue("it", "before.test"));
        (await SubjectAsync(port, "it")).Should().Be("before.test");

        _certificates.Write("it.key", "half");
        _clock.Advance(TimeSpan.FromSeconds(5));
        (await SubjectAsync(port, "it")).Should().Be("before.test", "a pair that does not fit is not taken up");

        _certificates.Issue("it", "after.test");
        _clock.Advance(TimeSpan.FromSeconds(5));
        (await SubjectAsync(port, "it")).Should().Be("after.test");
    }

    [Test]
    public async Task Certificate_PasswordChangesWithItsKey_IsTakenUp()
    {
        var port = await StartAsync(_certificates.WithEncryptedKey(_certificates.Issue("it", "before.test"), "one"));

        _certificates.WithEncryptedKey(_certificates.Issue("it", "after.test"), "two");
        _clock.Advance(TimeSpan.FromSeconds(5));

        (await SubjectAsync(port, "it")).Should().Be("after.test");
    }

    [TestCase(SslProtocols.Tls12)]
    [TestCase(SslProtocols.Tls13)]
    public async Task Protocol_Tls12And13_AreSpoken(SslProtocols protocol)
    {
        var port = await StartAsync(_certificates.Issue("it", "it.test"));

        await using var tls = await HandshakeAsync(port, "it.test", protocol);

        tls.SslProtocol.Should().Be(protocol);
    }

    [Test]
    public async Task Protocol_Older_IsRefused()
    {
        var port = await StartAsync(_certificates.Issue("it", "it.test"));

#pragma warning disable CA5397, SYSLIB0039 // What is refused must be asked for.
        await FluentActions.Awaiting(() => HandshakeAsync(port, "it.test", SslProtocols.Tls11)).Should().ThrowAsync<Exception>();
#pragma warning restore CA5397, SYSLIB0039
    }

    [Test]
    public async Task MinProtocol_Tls13_RefusesTls12()
    {
        var port = await StartAsync("\"MinProtocol\": \"Tls13\",", _certificates.Issue("it", "it.test"));

        await FluentActions.Awaiting(() => HandshakeAsync(port, "it.test", SslProtocols.Tls12)).Should().ThrowAsync<Exception>();
        await using var tls = await HandshakeAsync(port, "it.test", SslProtocols.Tls13);
    }

    [TestCase("Modern", SslProtocols.Tls12, false)]
    [TestCase("Modern", SslProtocols.Tls13, true)]
    [TestCase("Intermediate", SslProtocols.Tls12, true)]
    [TestCase("Intermediate", SslProtocols.Tls13, true)]
    [SupportedOSPlatform("linux")]
    public async Task Ciphers_Profile_DecidesTheVersions(string profile, SslProtocols protocol, bool isSpoken)
    {
        var port = await StartAsync($"\"Ciphers\": \"{profile}\",", _certificates.Issue("it", "it.test"));

        var handshake = FluentActions.Awaiting(async () =>
        {
            await using var tls = await HandshakeAsync(port, "it.test", protocol);
        });

        await (isSpoken ? handshake.Should().NotThrowAsync() : (Task)handshake.Should().ThrowAsync<Exception>());
    }

    [TestCase(TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, true)]
    [TestCase(TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false)]
    [SupportedOSPlatform("linux")]
    public async Task Ciphers_Names_AllowNoOthers(TlsCipherSuite suite, bool isSpoken)
    {
        var port = await StartAsync("\"Ciphers\": [ \"ECDHE-ECDSA-AES256-GCM-SHA384\" ],", _certificates.Issue("it", "it.test"));
        var offer = new SslClientAuthenticationOptions
        {
            TargetHost = "it.test",
            EnabledSslProtocols = SslProtocols.Tls12,
            CipherSuitesPolicy = new CipherSuitesPolicy([suite]),
        };

        var handshake = FluentActions.Awaiting(async () =>
        {
            await using var tls = await HandshakeAsync(port, offer);
            tls.NegotiatedCipherSuite.Should().Be(suite);
        });

        await (isSpoken ? handshake.Should().NotThrowAsync() : (Task)handshake.Should().ThrowAsync<Exception>());
    }

    [ByteCase("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]
    [ByteCase("hello\n")]
    [ByteCase("\u0015\u0003\u0001\u0000\u0002\u0002\u0046")] // an alert
    [ByteCase("\u0016\u0003\u0001\u0000\u0005\u0001\u0000\u0000\u0001\u0000")] // a hello without anything in it
    [ByteCase("\u0016\u0003\u0001\u0010\u0000\u0001")] // less than its length says
    [ByteCase("\u0000\u0001")]
    public async Task Client_SpeaksNoTls_IsClosedAndReachesNobody(string text)
    {
        var port = await StartAsync(_certificates.Issue("it", "it.test"));
        using var client = await RawPeer.ConnectAsync(port);

        await client.SendAsync(text);
        client.EndSending();
        var (answer, _) = await client.ReadToItsEndAsync();

        answer.Should().NotContain(" 200 ").And.NotContain("hello");
        _backend.Accepted.Should().Be(0);
        _node!.Log.Lines.Should().NotContain(line => line.Contains("Exception", StringComparison.Ordinal));
    }

    [Test]
    public async Task Client_HandshakeNotWithinItsTime_IsClosed()
    {
        var port = await StartAsync(_certificates.Issue("it", "it.test"));
        using var client = await RawPeer.ConnectAsync(port);
        await client.SendAsync("\u0016");

        var end = client.ReadToItsEndAsync();
        await Eventually.BeDoneAsync(end, _clock, TimeSpan.FromSeconds(10), "it was closed");

        (await end).Text.Should().BeEmpty();
    }

    private Task<int> StartAsync(params CertificateOptions[] certificates) => StartAsync("", certificates);

    private async Task<int> StartAsync(string settings, params CertificateOptions[] certificates)
    {
        var section = settings + "\"Certificates\": [" + string.Join(", ", certificates.Select(Json)) + "],";
        var (listener, pool) = kind == "Tcp" ? ("\"Protocol\": \"Tcp\", \"Address\": \"tcp://127.0.0.1:0\",", "tcp") : ("", "http");
        listener = kind switch
        {
            "Tcp" => listener + section,
            "Http" => section + "\"Address\": \"https://127.0.0.1:0\",",
            _ => "\"Address\": \"http://127.0.0.1:0\",",
        };
        var management = kind == "Management"
            ? $"{{ {section} \"Address\": \"https://127.0.0.1:0\" }}" : "{ \"Address\": \"http://127.0.0.1:0\" }";
        _node = await ConfiguredNode.StartRawAsync(
            $$"""
            { "LoadBalancer": {
                "Listeners": { "it": { {{listener}} "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{pool}}://127.0.0.1:{{_backend.Port}}" } } } },
                "Management": {{management}} } }
            """,
            _clock);
        return kind == "Management" ? _node.Management.BaseAddress!.Port : _node.Port;
    }

    private static string Json(CertificateOptions certificate)
    {
        var key = certificate.KeyFile is { } file ? $", \"KeyFile\": \"{file}\"" : "";
        var password = certificate.KeyPasswordFile is { } secret ? $", \"KeyPasswordFile\": \"{secret}\"" : "";
        return $"{{ \"File\": \"{certificate.File}\"{key}{password} }}";
    }

    private static async Task<string> SubjectAsync(int port, string serverName)
    {
        await using var tls = await HandshakeAsync(port, serverName, SslProtocols.None);
        return SubjectOf(tls);
    }

    private static string SubjectOf(SslStream tls) =>
        new X509Certificate2(tls.RemoteCertificate!).GetNameInfo(X509NameType.SimpleName, false);

    private static Task<SslStream> HandshakeAsync(int port, string serverName, SslProtocols protocols) =>
        HandshakeAsync(port, new SslClientAuthenticationOptions { TargetHost = serverName, EnabledSslProtocols = protocols });

    private static async Task<SslStream> HandshakeAsync(int port, SslClientAuthenticationOptions options)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, port);
        var tls = new SslStream(new NetworkStream(socket, ownsSocket: true));
        options.RemoteCertificateValidationCallback ??= (_, _, _, _) => true;
        await tls.AuthenticateAsClientAsync(options);
        return tls;
    }
}
