using System.Net;
using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

/// <summary>Which requests the management listener serves.</summary>
internal sealed class ManagementGuardTests
{
    private const string Token = "s3cret-token,with\"signs\"";

    private RawServer _backend = null!;
    private ConfiguredNode _node = null!;

    [SetUp]
    public async Task SetUpAsync()
    {
        _backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        _node = await ConfiguredNode.StartAsync(
            Pools,
            management: $$"""{ "Address": "http://127.0.0.1:0", "Token": "{{Token.Replace("\"", "\\\"")}}" }""");
    }

    private string Pools => $$"""{ "web": { "Backends": { "b1": { "Address": "{{_backend.Address}}" } } } }""";

    [TearDown]
    public async Task TearDownAsync()
    {
        await _node.DisposeAsync();
        await _backend.DisposeAsync();
    }

    [TestCase("/status")]
    [TestCase("/errors/stats")]
    [TestCase("/metrics")]
    [TestCase("/api/pools")]
    [TestCase("/api/events")]
    [TestCase("/api/pools/web/backends/b1")]
    [TestCase("/nowhere")]
    [TestCase("/index.html")]
    [TestCase("//health")]
    [TestCase("/health/../status")]
    [TestCase("/health%2f..%2fstatus")]
    [TestCase("/HEALTH")]
    public async Task Get_WithoutToken_Is401(string path) =>
        (await StatusAsync($"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n")).Should().Be(401);

    [TestCase("Authorization: Bearer wrong")]
    [TestCase("Authorization: Bearer ")]
    [TestCase("Authorization: Basic " + Token)]
    [TestCase("Authorization: " + Token)]
    [TestCase("Cookie: lb-management=" + Token)]
    [TestCase("Cookie: lb-management=")]
    public async Task Get_WithTheWrongToken_Is401(string field) =>
        (await StatusAsync($"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n{field}\r\n")).Should().Be(401);

    [Test]
    public async Task Get_WithTheToken_Is200() =>
        (await StatusAsync($"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: bearer {Token}\r\n")).Should().Be(200);

    [Test]
    public async Task Health_WithoutToken_Is200() => (await StatusAsync("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n")).Should().Be(200);

    [Test]
    public async Task Page_WithoutToken_IsTheLoginPageWith401()
    {
        using var answer = await _node.Management.GetAsync("/");

        answer.StatusCode.Should().Be(HttpStatusCode.Unauthorized);
        answer.Content.Headers.ContentType!.MediaType.Should().Be("text/html");
    }

    [Test]
    public async Task Login_WithTheToken_GivesACookieThatLetsIn()
    {
        using var answer = await _node.Management.PostAsync("/login", new FormUrlEncodedContent([KeyValuePair.Create("token", Token)]));

        answer.StatusCode.Should().Be(HttpStatusCode.SeeOther);
        answer.Headers.Location.Should().Be("/");
        var cookie = answer.Headers.GetValues("Set-Cookie").Single();
        cookie.Should().EndWith("; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000").And.NotContain("s3cret");
        (await StatusAsync($"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie.Split(';')[0]}\r\n")).Should().Be(200);
    }

    [Test]
    public async Task Login_WithTheWrongToken_GivesNone()
    {
        using var answer = await _node.Management.PostAsync("/login", new FormUrlEncodedContent([KeyValuePair.Create("token", "wrong")]));

        answer.StatusCode.Should().Be(HttpStatusCode.SeeOther);
        answer.Headers.Location.Should().Be("/?wrong-token");
        answer.Headers.Contains("Set-Cookie").Should().BeFalse();
    }

    [TestCase("multipart/form-data", "token=x")]
    [TestCase("multipart/form-data; boundary=x", "nonsense")]
    [TestCase("application/x-www-form-urlencoded", "a=1&many")]
    public async Task Login_FormThatIsNone_IsRefusedInALine(string type, string body)
    {
        using var content = new StringContent(body == "a=1&many" ? string.Concat(Enumerable.Repeat("a=1&", 2000)) : body);
        content.Headers.ContentType = System.Net.Http.Headers.MediaTypeHeaderValue.Parse(type);

        using var answer = await _node.Management.PostAsync("/login", content);

        ((int)answer.StatusCode).Should().BeOneOf(303, 400, 415);
        _node.Log.Lines.Should().NotContain(line => line.Contains("Exception"));
    }

    [TestCase("Origin: http://evil.example", 403)]
    [TestCase("Origin: null", 403)]
    [TestCase("Origin: http://127.0.0.1:1", 403)]
    [TestCase("Sec-Fetch-Site: cross-site", 403)]
    [TestCase("Sec-Fetch-Site: same-site", 403)]
    [TestCase("Origin: http://127.0.0.1:8081\r\nSec-Fetch-Site: same-origin", 200)]
    [TestCase("X-Program: curl", 200)]
    public async Task Patch_FromAnotherOrigin_Is403(string field, int status) =>
        (await StatusAsync(
            "PATCH /api/pools/web/backends/b1 HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n"
                + $"Authorization: Bearer {Token}\r\n{field}\r\nContent-Length: 12\r\n",
            "{\"weight\":2}")).Should().Be(status);

    [TestCase("evil.example")]
    [TestCase("127.0.0.1.evil.example")]
    [TestCase("10.0.0.1")]
    public async Task Health_UnderAnotherNameWithoutToken_Is401(string host) =>
        (await StatusAsync($"GET /health HTTP/1.1\r\nHost: {host}\r\n")).Should().Be(401);

    // A page whose name was made to resolve to 127.0.0.1 (DNS rebinding).
    [TestCase("evil.example", 403)]
    [TestCase("127.0.0.1.evil.example", 403)]
    [TestCase("localhost.evil.example", 403)]
    [TestCase("10.0.0.1", 403)]
    [TestCase("localhost:8081", 200)]
    [TestCase("LOCALHOST", 200)]
    [TestCase("[::1]:8081", 200)]
    [TestCase("127.0.0.2", 200)]
    public async Task Get_UnderAnotherNameWhereThereIsNoToken_Is403(string host, int status)
    {
        await using var node = await ConfiguredNode.StartAsync(Pools);

        var answer = await RawPeer.ExchangeAsync(
            node.Management.BaseAddress!.Port, $"GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");

        answer.Should().StartWith($"HTTP/1.1 {status}");
    }

    // As a listener in front of this one passes it on.
    [Test]
    public async Task Get_UnderAnotherNameWithTheToken_Is200() =>
        (await StatusAsync($"GET /status HTTP/1.1\r\nHost: lb.example.com\r\nAuthorization: Bearer {Token}\r\n")).Should().Be(200);

    [TestCase("http://0.0.0.0:8081")]
    [TestCase("http://*:8081")]
    [TestCase("http://192.0.2.1:8081")]
    public void Load_ReachableByOthersWithoutToken_IsAnError(string address)
    {
        ErrorsOf($"Address={address}").Should().Equal(
            $"LoadBalancer:Management:Token: is missing; {address} can be reached from other machines, "
                + "so that anybody could change the pools");
        ErrorsOf($"Address={address}", "Token=0123456789abcdef").Should().BeEmpty();
    }

    [Test]
    public void Load_ReachableByOthersWithAShortToken_IsAnError()
    {
        ErrorsOf("Address=http://192.0.2.1:8081", "Token=0123456789abcde").Should().Equal(
            "LoadBalancer:Management:Token: has 15 characters, and http://192.0.2.1:8081 can be reached from other machines, "
                + "which could guess it; expected 16 or more, for example of openssl rand -hex 16");
        ErrorsOf("Address=http://127.0.0.1:8081", "Token=short").Should().BeEmpty();
    }

    [TestCase("a secret of many words\n", "LoadBalancer:Management:TokenFile: the token in 'FILE' cannot be sent in a header field; *")]
    [TestCase("", "LoadBalancer:Management:TokenFile: the token in 'FILE' cannot be sent in a header field; *")]
    [TestCase("0123456789abcde\r\n", "LoadBalancer:Management:TokenFile: the token in 'FILE' has 15 characters, *")]
    [TestCase("0123456789abcdef\n", null)]
    [TestCase(null, "LoadBalancer:Management:TokenFile: 'FILE' cannot be read: there is no such file")]
    public void Load_TokenFile_IsHeldToTheSame(string? content, string? error)
    {
        using var folder = new TemporaryDirectory();
        var file = folder.File("token");
        if (content is not null)
        {
            File.WriteAllText(file, content);
        }

        var errors = ErrorsOf("Address=http://192.0.2.1:8081", $"TokenFile={file}");

        errors.Should().HaveCount(error is null ? 0 : 1);
        if (error is not null)
        {
            errors.Single().Should().Match(error.Replace("FILE", file)).And.NotContain("secret").And.NotContain("0123");
        }
    }

    [Test]
    public void Load_TokenAndTokenFile_IsAnError() =>
        ErrorsOf("Address=http://127.0.0.1:8081", "Token=x", "TokenFile=/nowhere").Should()
            .Contain("LoadBalancer:Management:TokenFile: is there beside Token; expected one of the two");

    private static List<string> ErrorsOf(params string[] management) =>
    [
        .. ConfigurationLoader.Load(null, [.. management.Select(setting => $"--LoadBalancer:Management:{setting}")])
            .Errors.Select(error => $"{error with { Line = null }}"),
    ];

    private async Task<int> StatusAsync(string head, string body = "")
    {
        var answer = await RawPeer.ExchangeAsync(_node.Management.BaseAddress!.Port, $"{head}Connection: close\r\n\r\n{body}");
        return int.Parse(answer.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
