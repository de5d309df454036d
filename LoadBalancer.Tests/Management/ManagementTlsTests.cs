using System.Net;
using System.Net.Security;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Management;

/// <summary>The dashboard and the API through TLS: of the management listener itself, and of a listener in front of it.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ManagementTlsTests : IDisposable
{
    private const string Token = "0123456789abcdef";
    private const string Pools = """{ "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:9" } } } }""";

    private readonly TestCertificates _certificates = new();

    public void Dispose() => _certificates.Dispose();

    [TestCase("1.1")]
    [TestCase("2.0")]
    public async Task Certificates_HttpsAddress_ServesTheApiThroughTls(string version)
    {
        await using var node = await ConfiguredNode.StartAsync(Pools, management: Section(_certificates.Issue("it", "it.test")));
        node.Management.BaseAddress!.Scheme.Should().Be("https");
        using var request = new HttpRequestMessage(HttpMethod.Patch, "/api/pools/web/backends/b1")
        {
            Content = new StringContent("{\"weight\":2}"),
            Headers = { { "Authorization", $"Bearer {Token}" } },
            Version = Version.Parse(version),
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };

        using var answer = await node.Management.SendAsync(request);

        answer.StatusCode.Should().Be(HttpStatusCode.OK);
        using var login = await LoginAsync(node.Management, "/login");
        login.Headers.GetValues("Set-Cookie").Single().Should().EndWith("; Secure");
    }

    [Test]
    public async Task Certificates_PlainRequest_Gets400()
    {
        await using var node = await ConfiguredNode.StartAsync(Pools, management: Section(_certificates.Issue("it", "it.test")));

        (await RawPeer.ExchangeAsync(node.Management.BaseAddress!.Port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 400").And.EndWith("The plain HTTP request was sent to an HTTPS port\n");
    }

    [Test]
    public async Task Certificates_FileChanges_IsTakenUpAndShown()
    {
        var clock = new FakeTimeProvider(TimeProvider.System.GetUtcNow());
        var certificate = _certificates.IssueUntil(clock.GetUtcNow().AddDays(2).AddHours(1), "it", "it.test");
        await using var node = await ConfiguredNode.StartAsync(Pools, management: Section(certificate), time: clock);
        clock.Advance(TimeSpan.FromSeconds(2));
        await node.Log.SaysAsync("listener 'management': certificate ", " expires in 2 days");
        (await MetricsAsync(node)).Should().Contain("loadbalancer_certificate_not_after_seconds{listener=\"management\",file=\"");

        _certificates.Issue("it", "it.test");
        clock.Advance(TimeSpan.FromSeconds(2));

        await node.Log.SaysAsync("listener 'management': certificate ", " was taken up");
    }

    [TestCase("http://127.0.0.1:8081", true, "Certificates: is of no use for 'http://127.0.0.1:8081'; expected an Address with https://")]
    [TestCase("https://127.0.0.1:8081", false,
        "Certificates: is missing; an https listener needs at least one { \"File\": …, \"KeyFile\": … }")]
    public void Load_CertificatesAndSchemeDoNotFit_IsAnError(string address, bool hasCertificate, string error)
    {
        var certificate = _certificates.Issue("it", "it.test");
        string[] files = hasCertificate
            ? [$"--LoadBalancer:Management:Certificates:0:File={certificate.File}",
                $"--LoadBalancer:Management:Certificates:0:KeyFile={certificate.KeyFile}"]
            : [];

        ConfigurationLoader.Load(null, [$"--LoadBalancer:Management:Address={address}", .. files])
            .Errors.Select(found => $"{found with { Line = null }}").Should().Equal("LoadBalancer:Management:" + error);
    }

    [Test]
    public async Task Reload_SameCertificates_NeedsNoRestart()
    {
        var section = Section(_certificates.Issue("it", "it.test"));
        await using var node = await ConfiguredNode.StartAsync(Pools, management: section);

        await node.ReloadedAsync(() => node.WriteAsync(Pools.Replace(":9\"", ":10\""), management: section));

        node.Log.Lines.Should().NotContain(line => line.Contains("Management has changed"));
    }

    // The recipe of docs/dashboard.md.
    [Test]
    public async Task ListenerInFront_EndsTls_ServesThePageTheLoginAndTheEvents()
    {
        var (port, certificate) = (ReservedPorts.Next(), _certificates.Issue("it", "lb.example.com"));
        await using var node = await ConfiguredNode.StartRawAsync($$"""
            { "LoadBalancer": {
                "Management": { "Address": "http://127.0.0.1:{{port}}", "Token": "{{Token}}" },
                "Listeners": { "dashboard": {
                    "Address": "https://127.0.0.1:0", "Pool": "dashboard",
                    "Certificates": [ { "File": "{{certificate.File}}", "KeyFile": "{{certificate.KeyFile}}" } ] } },
                "Pools": { "dashboard": { "Backends": { "management": { "Address": "http://127.0.0.1:{{port}}" } } } } } }
            """);
        using var browser = new HttpClient(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            SslOptions = new SslClientAuthenticationOptions { RemoteCertificateValidationCallback = (_, _, _, _) => true },
            ConnectCallback = async (_, cancellationToken) =>
            {
                var peer = new System.Net.Sockets.Socket(System.Net.Sockets.SocketType.Stream, System.Net.Sockets.ProtocolType.Tcp);
                await peer.ConnectAsync(IPAddress.Loopback, node.Port, cancellationToken);
                return new System.Net.Sockets.NetworkStream(peer, ownsSocket: true);
            },
        })
        { BaseAddress = new Uri("https://lb.example.com") };

        using var page = await browser.GetAsync("/");
        page.StatusCode.Should().Be(HttpStatusCode.Unauthorized);
        (await page.Content.ReadAsStringAsync()).Should().Contain("action=\"/login\"");

        using var login = await LoginAsync(browser, "/login");
        login.StatusCode.Should().Be(HttpStatusCode.SeeOther);
        login.Headers.Location.Should().Be("/");
        var cookie = login.Headers.GetValues("Set-Cookie").Single();
        cookie.Should().EndWith("; Secure");

        browser.DefaultRequestHeaders.Add("Cookie", cookie.Split(';')[0]);
        using var dashboard = await browser.GetAsync("/");
        dashboard.StatusCode.Should().Be(HttpStatusCode.OK);
        using var events = await browser.GetAsync("/api/events", HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await events.Content.ReadAsStreamAsync());
        (await reader.ReadLineAsync()).Should().Be("event: hello");
    }

    private static async Task<string> MetricsAsync(ConfiguredNode node)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, "/metrics") { Headers = { { "Authorization", $"Bearer {Token}" } } };
        using var answer = await node.Management.SendAsync(request);
        return await answer.Content.ReadAsStringAsync();
    }

    private static async Task<HttpResponseMessage> LoginAsync(HttpClient client, string path)
    {
        using var form = new FormUrlEncodedContent([KeyValuePair.Create("token", Token)]);
        using var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = form };
        request.Headers.Add("Origin", $"https://{client.BaseAddress!.Authority}");
        return await client.SendAsync(request);
    }

    private static string Section(CertificateOptions certificate) => $$"""
        { "Address": "https://127.0.0.1:0", "Token": "{{Token}}",
          "Certificates": [ { "File": "{{certificate.File}}", "KeyFile": "{{certificate.KeyFile}}" } ] }
        """;
}
