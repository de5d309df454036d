using System.Net;
using System.Net.Http.Headers;
using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Management;

/// <summary>Several tokens, each with the name of a user and a role.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ManagementTokensTests : IDisposable
{
    private const string Pools = """{ "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:9" } } } }""";

    private readonly FakeTimeProvider _clock = new();
    private readonly TemporaryDirectory _folder = new();

    public void Dispose() => _folder.Dispose();

    [TestCase("viewer-token", "GET", "/api/pools", 200)]
    [TestCase("viewer-token", "HEAD", "/metrics", 200)]
    [TestCase("viewer-token", "PATCH", "/api/pools/web/backends/b1", 403)]
    [TestCase("viewer-token", "PUT", "/api/pools/web/backends/b2", 403)]
    [TestCase("viewer-token", "DELETE", "/api/pools/web/backends/b1", 403)]
    [TestCase("viewer-token", "POST", "/api/reload", 403)]
    [TestCase("viewer-token", "POST", "/api/upgrade", 403)]
    [TestCase("operator-token", "PATCH", "/api/pools/web/backends/b1", 200)]
    [TestCase("first-token", "PATCH", "/api/pools/web/backends/b1", 200)]
    [TestCase("no-token", "GET", "/api/pools", 401)]
    public async Task Request_OfEachRole_MayDoWhatItsRoleSays(string token, string method, string path, int status)
    {
        await using var node = await StartAsync();

        using var answer = await SendAsync(node, token, method, path);

        ((int)answer.StatusCode).Should().Be(status);
    }

    [Test]
    public async Task Patch_OfAViewer_SaysWhyNotAndChangesNothing()
    {
        await using var node = await StartAsync();

        using var answer = await SendAsync(node, "viewer-token", "PATCH", "/api/pools/web/backends/b1");

        (await answer.Content.ReadAsStringAsync()).Should().Be(
            "the token 'screen' has the role Viewer, which may only read; expected a token with the role Operator\n");
        node.Pool.Snapshot.Members[0].Weight.Should().Be(1);
    }

    [Test]
    public async Task Login_OfAViewer_LooksAtTheDashboardAndChangesNothing()
    {
        await using var node = await StartAsync();
        using var form = new FormUrlEncodedContent([KeyValuePair.Create("token", "viewer-token")]);
        using var login = await node.Management.PostAsync("/login", form);
        var cookie = login.Headers.GetValues("Set-Cookie").Single().Split(';')[0];

        (await StatusAsync(HttpMethod.Get, "/")).Should().Be(200);
        (await StatusAsync(HttpMethod.Delete, "/api/pools/web/backends/b1")).Should().Be(403);

        async Task<int> StatusAsync(HttpMethod method, string path)
        {
            using var request = new HttpRequestMessage(method, path) { Headers = { { "Cookie", cookie } } };
            using var answer = await node.Management.SendAsync(request);
            return (int)answer.StatusCode;
        }
    }

    [Test]
    public async Task TokenFile_BecomesThatOfAnotherUser_IsNotTakenUp()
    {
        await using var node = await StartAsync();

        await File.WriteAllTextAsync(_folder.File("screen"), "operator-token");
        _clock.Advance(TimeSpan.FromSeconds(5));

        await node.Log.SaysAsync("cannot be used, the old one stays: is that of 'ci' too");
        (await SendAsync(node, "viewer-token", "GET", "/api/pools")).StatusCode.Should().Be(HttpStatusCode.OK);
    }

    [Test]
    public async Task TokenFile_GetsTheTokenThatAnotherGivesUp_IsTakenUp()
    {
        await using var node = await StartAsync();

        await File.WriteAllTextAsync(_folder.File("ci"), "viewer-token"); // looked at first, when the other one still has it
        await File.WriteAllTextAsync(_folder.File("screen"), "another-token");
        _clock.Advance(TimeSpan.FromSeconds(5));

        (await SendAsync(node, "viewer-token", "PATCH", "/api/pools/web/backends/b1")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await SendAsync(node, "another-token", "GET", "/api/pools")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await SendAsync(node, "operator-token", "GET", "/api/pools")).StatusCode.Should().Be(HttpStatusCode.Unauthorized);
        node.Log.Lines.Count(line => line.Contains("cannot be used, the old one stays", StringComparison.Ordinal)).Should().Be(1);
    }

    [Test]
    public async Task TokenFile_Changes_IsTakenUp()
    {
        await using var node = await StartAsync();

        await File.WriteAllTextAsync(_folder.File("screen"), "another-token");
        _clock.Advance(TimeSpan.FromSeconds(5));

        await node.Log.SaysAsync("the token in", "was taken up");
        (await SendAsync(node, "another-token", "DELETE", "/api/pools/web/backends/b1")).StatusCode.Should().Be(HttpStatusCode.Forbidden);
        (await SendAsync(node, "viewer-token", "GET", "/api/pools")).StatusCode.Should().Be(HttpStatusCode.Unauthorized);
    }

    [TestCase("\"a\": { }", "LoadBalancer:Management:Tokens:a:TokenFile: is missing; expected a file with the token and nothing else")]
    [TestCase("\"a\": { \"TokenFile\": \"gone\" }",
        "LoadBalancer:Management:Tokens:a:TokenFile: '*gone' cannot be read: there is no such file*")]
    [TestCase("\"a\": { \"TokenFile\": \"ci\" }, \"b\": { \"TokenFile\": \"ci\" }",
        "LoadBalancer:Management:Tokens:b:TokenFile: the token in '*ci' is that of 'a' too; expected a token of its own*")]
    [TestCase("\"token\": { \"TokenFile\": \"ci\" }",
        "LoadBalancer:Management:Tokens:token: 'token' is the user of Token or TokenFile; expected another name*", true)]
    [TestCase("\"-\": { \"TokenFile\": \"ci\" }",
        "LoadBalancer:Management:Tokens:-: '-' is no name of a user; expected a text other than -*")]
    [TestCase("\"a\": { \"TokenFile\": \"ci\", \"Role\": \"Admin\" }",
        "LoadBalancer:Management:Tokens:a:Role: 'Admin' is not valid; expected Viewer or Operator*")]
    [TestCase("\"a\": { \"TokenFile\": \"ci\", \"Rolle\": \"Viewer\" }",
        "LoadBalancer:Management:Tokens:a:Rolle: unknown key; did you mean 'Role'?*")]
    public void Configuration_Wrong_SaysWhereAndWhatWasExpected(string tokens, string error, bool hasToken = false)
    {
        File.WriteAllText(_folder.File("ci"), "operator-token");
        File.WriteAllText(_folder.File("lb.json"), $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
                "Pools": {{Pools}},
                "Management": {
                    "Address": "http://127.0.0.1:0", "Token": {{(hasToken ? "\"first-token\"" : "null")}}, "Tokens": { {{tokens}} } } } }
            """);

        ConfigurationLoader.Load(_folder.File("lb.json")).Errors.Should().ContainSingle().Which.ToString().Should().Match(error + "*");
    }

    private static async Task<HttpResponseMessage> SendAsync(ConfiguredNode node, string token, string method, string path)
    {
        using var request = new HttpRequestMessage(new HttpMethod(method), path);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);
        request.Content = method == "PATCH" ? new StringContent("""{"weight":2}""") : null;
        return await node.Management.SendAsync(request);
    }

    private async Task<ConfiguredNode> StartAsync()
    {
        await File.WriteAllTextAsync(_folder.File("ci"), "operator-token\n");
        await File.WriteAllTextAsync(_folder.File("screen"), "viewer-token\n");
        return await ConfiguredNode.StartAsync(Pools, management: $$"""
            { "Address": "http://127.0.0.1:0", "Token": "first-token", "Tokens": {
                "ci": { "TokenFile": "{{_folder.File("ci")}}", "Role": "Operator" },
                "screen": { "TokenFile": "{{_folder.File("screen")}}" } } }
            """, time: _clock);
    }
}
