using System.Net;
using System.Text.RegularExpressions;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>
/// The scheme of a request over HTTP/2: that of the connection, whatever <c>:scheme</c> says, unless the peer is a trusted proxy. A proxy
/// that ends TLS and speaks HTTP/2 without TLS to us sends <c>https</c>.
/// </summary>
internal sealed class Http2SchemeTests
{
    private TestCertificates _certificates = null!;

    [SetUp]
    public void MakeCertificates() => _certificates = new TestCertificates();

    [TearDown]
    public void DeleteCertificates() => _certificates.Dispose();

    [TestCase(false, "http", false, null, ExpectedResult = "http")]
    [TestCase(false, "https", false, null, ExpectedResult = "http")]
    [TestCase(false, "https", false, "https", ExpectedResult = "http")]
    [TestCase(false, "https", true, null, ExpectedResult = "https")]
    [TestCase(false, "HTTPS", true, null, ExpectedResult = "https")]
    [TestCase(false, "http", true, "https", ExpectedResult = "https")]
    [TestCase(false, "https", true, "http", ExpectedResult = "http")]
    [TestCase(true, "https", false, null, ExpectedResult = "https")]
    [TestCase(true, "http", false, null, ExpectedResult = "https")]
    [TestCase(true, "http", false, "http", ExpectedResult = "https")]
    [TestCase(true, "http", true, null, ExpectedResult = "http")]
    [TestCase(true, "https", true, "http", ExpectedResult = "http")]
    public async Task<string> Scheme_ConnectionAndPeer_DecideWhatTheBackendAndTheCookieSay(
        bool isTls, string scheme, bool isTrusted, string? forwardedProto)
    {
        var head = "";
        await using var backend = new RawServer(async (peer, _) =>
        {
            head = await peer.ReadHeadAsync() ?? "";
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        await using var node = await TestNode.StartAsync(
            [backend.Address],
            pool => pool with { StickySession = new StickySessionOptions { Cookie = "stick" } },
            listener => Listener(listener, isTls, isTrusted));
        using var client = isTls ? await Http2Peer.ConnectWithTlsAsync(node.Port) : await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, Request(scheme, forwardedProto));

        var response = (await client.ReadFrameAsync(Http2Wire.Headers))!.Value.Payload;
        var forwarded = Regex.Match(head, "\r\nX-Forwarded-Proto: (.*)\r\n").Groups[1].Value;
        response.Should().Contain("stick=").And.Match(forwarded == "https" ? "*; Secure*" : "*SameSite=Lax*");
        response.Contains("; Secure", StringComparison.Ordinal).Should().Be(forwarded == "https");
        return forwarded;
    }

    [Test]
    public async Task Request_Malformed_IsLoggedWithTlsToo([Values] bool isTls)
    {
        var file = Path.GetTempFileName();
        try
        {
            await using var backend = RawServer.Answering("");
            await using (var node = await TestNode.StartAsync(
                [backend.Address], listener: listener => Listener(listener, isTls, false) with { AccessLog = file }))
            {
                using var client = isTls ? await Http2Peer.ConnectWithTlsAsync(node.Port) : await Http2Peer.ConnectAsync(node.Port);
                await client.SendRequestAsync(1, (":method", "GET"), (":scheme", "https"), (":authority", "a"));
                (await client.ReadFateAsync(1)).Should().Be("reset PROTOCOL_ERROR");
                await node.StopAsync();
            }

            File.ReadLines(file).Should().ContainSingle().Which.Should().Contain("HTTP/2\" 400 ");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [TestCase("https", false, null, "308")]
    [TestCase("https", true, null, "200")]
    [TestCase("http", true, null, "308")]
    [TestCase("https", true, "http", "308")]
    public async Task RedirectToHttps_Scheme_CountsFromTrustedProxiesOnly(
        string scheme, bool isTrusted, string? forwardedProto, string expected)
    {
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var node = await TestNode.StartAsync(
            [backend.Address], listener: listener => Listener(listener, false, isTrusted) with { RedirectToHttps = true });
        using var client = await Http2Peer.ConnectAsync(node.Port);

        await client.SendRequestAsync(1, Request(scheme, forwardedProto));

        (await client.ReadFateAsync(1)).Should().Be(expected);
    }

    [Test]
    public async Task TrustedProxies_Reloaded_CountForRedirectAndScheme()
    {
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        var pools = $$"""{ "web": { "Backends": { "b": { "Address": "{{backend.Address}}" } } } }""";
        const string Listener = "\"RedirectToHttps\": true, \"HttpVersion\": \"2\",";
        await using var node = await ConfiguredNode.StartAsync(pools, Listener);
        using var client = await Http2Peer.ConnectAsync(node.Port);
        await client.SendRequestAsync(1, Request("https", null));
        (await client.ReadFateAsync(1)).Should().Be("308");

        await node.ReloadedAsync(() => node.WriteAsync(pools, Listener + "\"TrustedProxies\": [ \"127.0.0.1\" ],"));

        await client.SendRequestAsync(3, Request("https", null));
        (await client.ReadFateAsync(3)).Should().Be("200");
    }

    private static (string, string)[] Request(string scheme, string? forwardedProto)
    {
        (string, string)[] fields = [(":method", "GET"), (":scheme", scheme), (":authority", "a"), (":path", "/")];
        return forwardedProto is null ? fields : [.. fields, ("x-forwarded-proto", forwardedProto)];
    }

    private HttpListenerOptions Listener(HttpListenerOptions listener, bool isTls, bool isTrusted) => listener with
    {
        Address = TestNode.Parse(isTls ? "https://127.0.0.1:0" : "http://127.0.0.1:0"),
        Certificates = isTls ? [_certificates.Issue("it", "it.test")] : [],
        HttpVersion = isTls ? HttpVersion.Version11 : HttpVersion.Version20,
        TrustedProxies = isTrusted ? [IPNetwork.Parse("127.0.0.1/32")] : [],
    };
}
