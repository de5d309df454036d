using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Tls;

/// <summary>Certificates of clients, at each kind of listener that asks for them.</summary>
[TestFixture("Http", SslProtocols.Tls12)]
[TestFixture("Http", SslProtocols.Tls13)]
[TestFixture("Tcp", SslProtocols.Tls12)]
[TestFixture("Tcp", SslProtocols.Tls13)]
[Category("Network")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ClientCertificateTests(string kind, SslProtocols protocol) : IAsyncDisposable
{
    private readonly TestCertificates _certificates = new();
    private readonly TestCertificates _others = new();
    private readonly FakeTimeProvider _clock = new(TimeProvider.System.GetUtcNow());
    private readonly RawServer _backend = new(async (peer, _) =>
    {
        if (await peer.ReadHeadAsync() is { } head)
        {
            await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Length}\r\nConnection: close\r\n\r\n{head}");
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
        _others.Dispose();
    }

    [TestCase("own", true)]
    [TestCase("without a purpose", true)]
    [TestCase("foreign", false)]
    [TestCase("expired", false)]
    [TestCase("not yet valid", false)]
    [TestCase("for servers", false)]
    [TestCase("through an intermediate", true)]
    [TestCase("through an intermediate that is not sent", false)]
    [TestCase("none", false)]
    public async Task Require_Certificate_DecidesWhoMayCome(string which, bool isServed)
    {
        await StartAsync("Require");

        var answer = await AnswerAsync(Issue(which));

        answer.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal).Should().Be(isServed);
        _backend.Accepted.Should().Be(isServed ? 1 : 0);
        _node!.Log.Lines.Any(line => line.Contains("because of the client's certificate", StringComparison.Ordinal))
            .Should().Be(!isServed);
    }

    [TestCase("none", true)]
    [TestCase("own", true)]
    [TestCase("foreign", false)]
    [TestCase("expired", false)]
    public async Task Allow_Certificate_DecidesWhoMayCome(string which, bool isServed)
    {
        await StartAsync("Allow");

        (await AnswerAsync(Issue(which))).StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal).Should().Be(isServed);
    }

    [Test]
    public async Task AuthorityFile_Changes_IsTakenUpWithinFiveSeconds()
    {
        await StartAsync("Require");
        var (own, foreign) = (Issue("own"), Issue("foreign"));

        File.WriteAllText(_certificates.AuthorityFile, "half");
        _clock.Advance(TimeSpan.FromSeconds(5));
        (await AnswerAsync(own)).Should().StartWith("HTTP/1.1 200 ", "a file that cannot be used leaves the old authorities");

        File.Copy(_others.AuthorityFile, _certificates.AuthorityFile, overwrite: true);
        _clock.Advance(TimeSpan.FromSeconds(5));
        (await AnswerAsync(own)).Should().BeEmpty();
        (await AnswerAsync(foreign)).Should().StartWith("HTTP/1.1 200 ");
    }

    [Test]
    public async Task ClientCertificates_AddedByAReload_IsAskedForFromThenOn()
    {
        await StartAsync(null);
        (await AnswerAsync(null)).Should().StartWith("HTTP/1.1 200 ");

        await _node!.ApplyAsync(Configuration("Require"));

        (await AnswerAsync(null)).Should().BeEmpty();
        (await AnswerAsync(Issue("own"))).Should().StartWith("HTTP/1.1 200 ");
    }

    [TestCase("own", true)]
    [TestCase("through an intermediate", true)]
    [TestCase("own", false)]
    public async Task Session_Resumed_IsCheckedWithTheAuthoritiesOfNow(string which, bool isStillTrusted)
    {
        await StartAsync("Require");
        var certificate = Issue(which)!;
        var session = _certificates.Write("session", "");
        string[] common =
        [
            "s_client", "-connect", $"127.0.0.1:{_node!.Port}", protocol == SslProtocols.Tls12 ? "-tls1_2" : "-tls1_3", "-ign_eof",
            "-cert", certificate.File, "-key", certificate.KeyFile!, "-cert_chain", certificate.File,
        ];
        const string Request = "GET / HTTP/1.1\r\nHost: it.test\r\nConnection: close\r\n\r\n";

        var authorities = await File.ReadAllTextAsync(_certificates.AuthorityFile);
        var (first, second) = ("", "");
        // Each time that the framework has made 32 contexts it drops those that no connection has, and their sessions: other tests do that.
        for (var i = 0; i < 5 && !second.Contains("\nReused, TLSv1.", StringComparison.Ordinal); i++)
        {
            UseAuthorities(authorities);
            first = await OpenSsl.RunAsync(Request, [.. common, "-sess_out", session]);
            if (!isStillTrusted)
            {
                UseAuthorities(await File.ReadAllTextAsync(_others.AuthorityFile));
            }
            second = await OpenSsl.RunAsync(Request, [.. common, "-sess_in", session]);
        }

        first.Should().Contain("\nNew, TLSv1.").And.Contain("HTTP/1.1 200 OK");
        second.Should().Contain("\nReused, TLSv1.");
        second.Contains("HTTP/1.1 200 OK", StringComparison.Ordinal).Should().Be(isStillTrusted);
        if (kind == "Http" && isStillTrusted)
        {
            second.Should().Contain("X-User: ann");
        }
    }

    private void UseAuthorities(string text)
    {
        File.WriteAllText(_certificates.AuthorityFile, text);
        _clock.Advance(TimeSpan.FromSeconds(5));
    }

    private CertificateOptions? Issue(string which)
    {
        var now = TimeProvider.System.GetUtcNow();
        return which switch
        {
            "own" => _certificates.IssueForClients("client", "ann"),
            "without a purpose" => _certificates.Issue("client", "ann"),
            "foreign" => _others.IssueForClients("client", "ann"),
            "expired" => _certificates.IssueUntil(now.AddMinutes(-1), "client", "ann"),
            "not yet valid" => _certificates.IssueFrom(now.AddHours(1), "client", "ann"),
            "for servers" => _certificates.IssueForServers("client", "ann"),
            "through an intermediate" => _certificates.IssueThroughIntermediate("client", "ann"),
            "through an intermediate that is not sent" =>
                _certificates.IssueThroughAbsentIntermediate("client", "http://127.0.0.1:9/none", "ann"),
            _ => null,
        };
    }

    private async Task StartAsync(string? mode) =>
        _node = await ConfiguredNode.StartRawAsync(Configuration(mode), _clock);

    private string Configuration(string? mode)
    {
        var server = _certificates.Issue("server", "it.test");
        var clients = mode is null ? "" : $$"""
            "ClientCertificates": { "AuthorityFile": "{{_certificates.AuthorityFile}}", "Mode": "{{mode}}" },
            """;
        var (listener, scheme) = kind == "Tcp" ? ("\"Protocol\": \"Tcp\", \"Address\": \"tcp://127.0.0.1:0\",", "tcp") : ("""
            "Address": "https://127.0.0.1:0",
            "Routes": [ { "Path": "/", "Pool": "web", "RequestHeaders": { "Set": { "X-User": "{user}" } } } ],
            """, "http");
        return $$"""
            { "LoadBalancer": {
                "Listeners": { "it": { {{listener}} {{clients}} "Pool": "web",
                    "Certificates": [ { "File": "{{server.File}}", "KeyFile": "{{server.KeyFile}}" } ] } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{scheme}}://127.0.0.1:{{_backend.Port}}" } } } } } }
            """;
    }

    // What the node answers to a request; nothing where it ends the handshake, which with TLS 1.3 the client sees after its own end of it.
    private async Task<string> AnswerAsync(CertificateOptions? certificate)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, _node!.Port);
        await using var tls = new SslStream(new NetworkStream(socket));
        var client = new SslClientAuthenticationOptions
        {
            TargetHost = "it.test",
            EnabledSslProtocols = protocol,
            AllowTlsResume = false,
            RemoteCertificateValidationCallback = (_, _, _, _) => true,
        };
        if (certificate is not null)
        {
            var issuers = new X509Certificate2Collection();
            issuers.ImportFromPemFile(certificate.File);
            client.ClientCertificateContext = SslStreamCertificateContext.Create(
                X509Certificate2.CreateFromPemFile(certificate.File, certificate.KeyFile), issuers, offline: true);
        }
        try
        {
            await tls.AuthenticateAsClientAsync(client);
            await tls.WriteAsync("GET / HTTP/1.1\r\nHost: it.test\r\nConnection: close\r\n\r\n"u8.ToArray());
            var buffer = new byte[4096];
            return Encoding.Latin1.GetString(buffer, 0, await tls.ReadAsync(buffer));
        }
        catch (Exception e) when (e is IOException or AuthenticationException)
        {
            return "";
        }
    }
}
