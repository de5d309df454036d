using System.Net;
using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Guards.Authentication;

/// <summary>Who a client is by its certificate.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class CertificateAuthenticatorTests : IAsyncDisposable
{
    private readonly TestCertificates _certificates = new();
    private readonly RawServer _backend = new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Length}\r\n\r\n{head}");
        }
    });
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

    [TestCase("CN=ann", "ann")]
    [TestCase("O=Acme, OU=Works, CN=\"Doe, Ann\"", "Doe, Ann")]
    [TestCase("CN=ann, CN=bob", "")]
    [TestCase("O=Acme", "")]
    public void Of_Certificate_IsItsOnlyCommonName(string subject, string user)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest(subject, key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(TimeProvider.System.GetUtcNow(), TimeProvider.System.GetUtcNow().AddDays(1));

        ProvedIdentity.Of(certificate).User.Should().Be(user);
    }

    [TestCase("1.1")]
    [TestCase("2.0")]
    public async Task User_OfTheCertificate_ReachesTheBackendInsteadOfTheClients(string version)
    {
        await StartAsync("""{ "Path": "/", "Pool": "web", "RequestHeaders": { "Set": { "X-User": "{user}" } } }""");
        using var client = NewClient("ann");
        using var request = new HttpRequestMessage(HttpMethod.Get, "/")
        {
            Version = Version.Parse(version),
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Headers = { { "X-User", "root" }, { "X_User", "root" } },
        };

        using var response = await client.SendAsync(request);

        (await response.Content.ReadAsStringAsync()).Should().Contain("X-User: ann").And.NotContain("root");
    }

    [Test]
    public async Task User_NoCertificateAtAllow_IsEmpty()
    {
        await StartAsync("""{ "Path": "/", "Respond": { "Body": "'{user}'" } }""");
        using var client = NewClient(null);

        (await client.GetStringAsync("/")).Should().Be("''");
    }

    [Test]
    public async Task User_RouteHasAnotherAuthentication_IsItsUser()
    {
        var users = _certificates.Write("users", "bob:" + BCrypt.Net.BCrypt.HashPassword("secret", 4) + "\n");
        await StartAsync(
            """{ "Path": "/", "Authentication": "staff", "Respond": { "Body": "{user}" } }""",
            $$""" "Authentication": { "staff": { "Type": "Basic", "UsersFile": "{{users}}" } }, """);
        using var client = NewClient("ann");
        (await client.GetAsync("/")).StatusCode.Should().Be(HttpStatusCode.Unauthorized, "a certificate is no password");

        client.DefaultRequestHeaders.Authorization = new("Basic", Convert.ToBase64String("bob:secret"u8));

        (await client.GetStringAsync("/")).Should().Be("bob");
    }

    [Test]
    public async Task RateLimit_ByUser_CountsCommonNamesApart()
    {
        await StartAsync(
            """{ "Path": "/", "RateLimit": "each", "Respond": { "Body": "{user}" } }""",
            """ "RateLimits": { "each": { "Key": "User", "Permits": 1, "Window": "1h" } }, """);
        using var ann = NewClient("ann");
        using var bob = NewClient("bob");

        (await ann.GetAsync("/")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await ann.GetAsync("/")).StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
        (await bob.GetAsync("/")).StatusCode.Should().Be(HttpStatusCode.OK);
    }

    private async Task StartAsync(string route, string others = "")
    {
        var server = _certificates.Issue("server", "127.0.0.1");
        _node = await ConfiguredNode.StartRawAsync($$"""
            { "LoadBalancer": { {{others}}
                "Listeners": { "it": { "Address": "https://127.0.0.1:0", "Pool": "web", "Routes": [ {{route}} ],
                    "Certificates": [ { "File": "{{server.File}}", "KeyFile": "{{server.KeyFile}}" } ],
                    "ClientCertificates": { "AuthorityFile": "{{_certificates.AuthorityFile}}", "Mode": "Allow" } } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{_backend.Address}}" } } } } } }
            """);
    }

    private HttpClient NewClient(string? name)
    {
        var handler = TestNode.NewHandler();
        if (name is not null && _certificates.IssueForClients(name, name) is var certificate)
        {
            handler.SslOptions.ClientCertificateContext = SslStreamCertificateContext.Create(
                X509Certificate2.CreateFromPemFile(certificate.File, certificate.KeyFile), null, offline: true);
        }
        return new HttpClient(handler) { BaseAddress = new Uri($"https://127.0.0.1:{_node!.Port}") };
    }
}
