using System.Net;
using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using LoadBalancer.Management;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Management;

/// <summary>How the management listener is kept from those who should not use it, and what it answers them; over real sockets.</summary>
internal sealed class ManagementAccessTests
{
    private const string Token = "0123456789abcdef";
    private const string Patch = "PATCH /api/pools/web/backends/b1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 12\r\n";
    private const string Pools = """{ "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:9" } } } }""";
    private const string WithToken = $$"""{ "Address": "http://127.0.0.1:0", "Token": "{{Token}}" }""";

    private readonly FakeTimeProvider _clock = new();

    [Test]
    public async Task Get_WrongTokens_AreLoggedCountedAndPaused()
    {
        await using var node = await StartAsync(WithToken);

        var codes = new List<int>();
        for (var i = 0; i < 7; i++)
        {
            using var answer = await GetAsync(node, "/status", $"wrong{i}");
            codes.Add((int)answer.StatusCode);
        }

        codes.Should().Equal(401, 401, 401, 401, 401, 429, 429);
        using var paused = await GetAsync(node, "/status", Token);
        paused.StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
        paused.Headers.RetryAfter!.Delta.Should().Be(WrongTokens.TryInterval);
        _clock.Advance(WrongTokens.TryInterval);
        using var metrics = await GetAsync(node, "/metrics", Token);
        (await metrics.Content.ReadAsStringAsync()).Should()
            .Contain("loadbalancer_management_refused_total{reason=\"wrong_token\"} 5\n")
            .And.Contain("loadbalancer_management_refused_total{reason=\"too_many_wrong_tokens\"} 3\n");
        node.Log.Lines.Should().ContainSingle(line => line.StartsWith("Warning: management: wrong tokens: 1, the last from 127.0.0.1;"))
            .Which.Should().NotContain("wrong0");
    }

    [Test]
    public async Task Login_WrongTokens_ArePausedToo()
    {
        await using var node = await StartAsync(WithToken);

        var codes = new List<int>();
        for (var i = 0; i < 6; i++)
        {
            using var answer = await LoginAsync(node, $"wrong{i}");
            codes.Add((int)answer.StatusCode);
        }

        codes.Should().Equal(303, 303, 303, 303, 303, 429);
        (await LoginAsync(node, Token)).StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
    }

    [Test]
    public async Task Get_WithoutToken_IsNoTry()
    {
        await using var node = await StartAsync(WithToken);

        for (var i = 0; i < 10; i++)
        {
            using var answer = await node.Management.GetAsync("/status");
            answer.StatusCode.Should().Be(HttpStatusCode.Unauthorized);
        }

        using var right = await GetAsync(node, "/status", Token);
        right.StatusCode.Should().Be(HttpStatusCode.OK);
        node.Log.Lines.Should().NotContain(line => line.Contains("wrong token"));
    }

    // Otherwise a page that was left open would use up all tries of its own user.
    [Test]
    public async Task Get_CookieOfAnEarlierToken_IsTakenBack()
    {
        await using var node = await StartAsync(WithToken);
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/pools") { Headers = { { "Cookie", "lb-management=0123" } } };

        using var answer = await node.Management.SendAsync(request);

        answer.StatusCode.Should().Be(HttpStatusCode.Unauthorized);
        answer.Headers.GetValues("Set-Cookie").Single().Should().StartWith("lb-management=;").And.Contain("Max-Age=0");
    }

    [Test]
    public async Task TokenFile_Changes_IsTakenUpAndABadOneIsNot()
    {
        using var folder = new TemporaryDirectory();
        var file = folder.File("token");
        await File.WriteAllTextAsync(file, Token + "\n");
        await using var node = await StartAsync($$"""{ "Address": "http://127.0.0.1:0", "TokenFile": "{{file}}" }""");
        (await StatusAsync(node, Token)).Should().Be(200);

        await File.WriteAllTextAsync(file, "no token at all");
        _clock.Advance(TimeSpan.FromSeconds(5));
        (await StatusAsync(node, Token)).Should().Be(200, "the old one stays");
        await node.Log.SaysAsync("the token in", "cannot be used, the old one stays: cannot be sent in a header field");

        await File.WriteAllTextAsync(file, "another-token\n");
        _clock.Advance(TimeSpan.FromSeconds(5));
        (await StatusAsync(node, "another-token")).Should().Be(200);
        (await StatusAsync(node, Token)).Should().Be(401);
        node.Log.Lines.Should().NotContain(line => line.Contains("another-token"));
    }

    [TestCase("POST", "/status", 405, "GET, HEAD")]
    [TestCase("DELETE", "/health", 405, "GET, HEAD")]
    [TestCase("PUT", "/dashboard.css", 405, "GET, HEAD")]
    [TestCase("OPTIONS", "/api/pools", 405, "GET, HEAD")]
    [TestCase("GET", "/login", 405, "POST")]
    [TestCase("POST", "/api/pools/web/backends/b1", 405, "GET, HEAD, PATCH, PUT, DELETE")]
    [TestCase("POST", "/nowhere", 404, null)]
    [TestCase("POST", "/login", 415, null)]
    public async Task Request_MethodThatIsNotForThePath_IsToldWhichAre(string method, string path, int status, string? allowed)
    {
        await using var node = await StartAsync("""{ "Address": "http://127.0.0.1:0" }""");
        using var request = new HttpRequestMessage(new HttpMethod(method), path);

        using var answer = await node.Management.SendAsync(request);

        ((int)answer.StatusCode).Should().Be(status);
        answer.Content.Headers.TryGetValues("Allow", out var allow);
        (allow is null ? null : string.Join(", ", allow)).Should().Be(allowed);
    }

    [TestCase("application/json", true)]
    [TestCase("application/problem+json", true)]
    [TestCase("text/html, application/json;q=0.9", true)]
    [TestCase("application/json;q=0.5, text/plain", false)]
    [TestCase("application/json;q=0", false)]
    [TestCase("*/*", false)]
    [TestCase("nonsense;;", false)]
    [TestCase(null, false)]
    public async Task Error_JsonIsAskedFor_IsAProblem(string? accept, bool isProblem)
    {
        const string Line = "there is no pool 'x'; expected one of 'web'";
        await using var node = await StartAsync("""{ "Address": "http://127.0.0.1:0" }""");
        using var request = new HttpRequestMessage(HttpMethod.Get, "/api/pools/x/backends/b%201");
        request.Headers.TryAddWithoutValidation("Accept", accept);

        using var answer = await node.Management.SendAsync(request);

        answer.StatusCode.Should().Be(HttpStatusCode.NotFound);
        answer.Content.Headers.ContentType!.MediaType.Should().Be(isProblem ? "application/problem+json" : "text/plain");
        (await answer.Content.ReadAsStringAsync()).Should().Be(!isProblem ? Line + "\n"
            : $$"""{"type":"about:blank","title":"Not Found","status":404,"detail":"{{Line}}","instance":"/api/pools/x/backends/b%201","""
                + $"\"error\":\"{Line}\"}}");
    }

    [TestCase("GET", "/nowhere", null, Token, 404)]
    [TestCase("POST", "/status", null, Token, 405)]
    [TestCase("PATCH", "/api/pools/web/backends/b1", "{}", Token, 400)]
    [TestCase("GET", "/status", null, "", 401)]
    [TestCase("POST", "/api/upgrade", null, Token, 409)]
    [TestCase("POST", "/login", "x", Token, 415)]
    public async Task Error_OfEachKind_IsAProblemThatNamesIt(string method, string path, string? body, string token, int status)
    {
        await using var node = await StartAsync(WithToken);
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        request.Headers.TryAddWithoutValidation("Accept", "application/problem+json");
        request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
        request.Content = body is null ? null : new StringContent(body);

        using var answer = await node.Management.SendAsync(request);

        ((int)answer.StatusCode).Should().Be(status);
        var problem = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!;
        problem["status"]!.GetValue<int>().Should().Be(status);
        problem["detail"]!.ToString().Should().NotBeEmpty().And.Be(problem["error"]!.ToString());
        problem["instance"]!.ToString().Should().Be(path);
    }

    [TestCase(Patch + "\r\n{\"weight\"")]
    [TestCase("PATCH /api/pools/web/backends/b1 HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")]
    [TestCase("POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\nto")]
    [Category("Long")]
    [Explicit("takes long; .ci/run runs it")]
    public async Task Body_NeverComplete_Is408AndTheConnectionEnds(string request)
    {
        await using var node = await StartAsync("""{ "Address": "http://127.0.0.1:0" }""");
        using var peer = await RawPeer.ConnectAsync(node.Management.BaseAddress!.Port);
        await peer.SendAsync(request);

        var answer = peer.ReadToEndAsync();
        await Eventually.BeDoneAsync(answer, _clock, TimeSpan.FromSeconds(1), "it is answered and closed");

        (await answer).Should().StartWith("HTTP/1.1 408").And.Contain("the body was not there within 10 s");
        node.Log.Lines.Should().NotContain(line => line.Contains("Exception", StringComparison.Ordinal));
    }

    [Test]
    public async Task Body_WithoutTheToken_IsNotWaitedFor()
    {
        await using var node = await StartAsync(WithToken);
        using var peer = await RawPeer.ConnectAsync(node.Management.BaseAddress!.Port);

        await peer.SendAsync(Patch + "\r\n{");

        (await peer.ReadResponseAsync()).Should().StartWith("HTTP/1.1 401");
    }

    [TestCase(Patch + "\r\n{")] // a body
    [TestCase("GET / HT")] // a head
    public async Task Stop_RequestIsNeverComplete_IsNotWaitedForLong(string request)
    {
        await using var node = await StartAsync("""{ "Address": "http://127.0.0.1:0" }""");
        using var peer = await RawPeer.ConnectAsync(node.Management.BaseAddress!.Port);
        await peer.SendAsync(request);
        (await node.Management.GetAsync("/health")).Dispose(); // The request before is there too, most likely.

        var stopped = node.StopAsync();
        await Eventually.BeDoneAsync(stopped, _clock, TimeSpan.FromSeconds(1), "it has stopped, long before a request's time is up");
    }

    private static async Task<HttpResponseMessage> GetAsync(ConfiguredNode node, string path, string token)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return await node.Management.SendAsync(request);
    }

    private static async Task<int> StatusAsync(ConfiguredNode node, string token)
    {
        using var answer = await GetAsync(node, "/status", token);
        return (int)answer.StatusCode;
    }

    private static async Task<HttpResponseMessage> LoginAsync(ConfiguredNode node, string token)
    {
        using var form = new FormUrlEncodedContent([KeyValuePair.Create("token", token)]);
        return await node.Management.PostAsync("/login", form);
    }

    private Task<ConfiguredNode> StartAsync(string management) => ConfiguredNode.StartAsync(Pools, management: management, time: _clock);
}
