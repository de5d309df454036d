using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Guards.Authentication;

/// <summary>Another server decides.</summary>
internal sealed class ForwardTests
{
    [Test]
    public async Task Forward_2xx_LetsTheRequestThroughWithItsFields()
    {
        string? question = null;
        await using var portal = new RawServer(async (peer, _) =>
        {
            question = await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 204 No Content\r\nRemote-User: ann\r\nX-Groups: a\r\nX-Other: o\r\n\r\n");
        });
        await using var node = await StartAsync(
            portal.Address, """, "CopyHeaders": [ "Remote-User", "X-Groups", "X-None" ]""",
            """, "RequestHeaders": { "Set": { "X-User": "{user}" } } """);

        var answer = await node.GetAsync("Cookie: c=d\r\nAuthorization: Bearer t\r\nX-Secret: s\r\nX-Groups: root\r\nX-None: n\r\n",
            "/p%20q?r=s");

        question.Should().StartWith("GET /verify HTTP/1.1\r\n").And.Contain("\r\nX-Forwarded-Method: GET\r\n")
            .And.Contain("\r\nX-Forwarded-Uri: /p%20q?r=s\r\n").And.Contain("\r\nX-Forwarded-Host: a.test\r\n")
            .And.Contain("\r\nCookie: c=d\r\n")
            .And.Contain("\r\nAuthorization: Bearer t\r\n").And.NotContain("X-Secret");
        answer.Should().StartWith("HTTP/1.1 200").And.Contain("\r\nRemote-User: ann\r\n").And.Contain("\r\nX-Groups: a\r\n")
            .And.Contain("\r\nX-User: ann\r\n").And.NotContain("root").And.NotContain("X-None").And.NotContain("X-Other");
    }

    [TestCase("302 Found", "Location: https://login.test/\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n", "")]
    [TestCase("401 Unauthorized", "WWW-Authenticate: Bearer\r\n", "log in")]
    [TestCase("500 Oh", "", "broken")]
    public async Task Forward_OtherStatus_IsTheAnswer(string status, string fields, string body)
    {
        await using var portal = RawServer.Answering(
            $"HTTP/1.1 {status}\r\n{fields}Connection: close\r\nContent-Length: {body.Length}\r\n\r\n{body}");
        await using var node = await StartAsync(portal.Address);

        var answer = await node.GetAsync();

        answer.Should().StartWith($"HTTP/1.1 {status[..3]}").And.EndWith($"\r\n\r\n{body}");
        foreach (var field in fields.Split("\r\n", StringSplitOptions.RemoveEmptyEntries))
        {
            answer.Should().Contain($"\r\n{field}\r\n");
        }
        node.Node.Pool.Snapshot.Members[0].Requests.Should().Be(0);
    }

    [Test]
    public async Task Forward_RefusalOfAMethodInLowerCase_IsNotOneOfHead()
    {
        await using var portal = RawServer.Answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        await using var node = await StartAsync(portal.Address);

        (await RawPeer.ExchangeAsync(node.Node.Port, "head / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 403").And.EndWith("\r\n\r\nno");
    }

    [Test]
    public async Task Forward_CookieThatIsNotAscii_IsPassedOnByteForByte()
    {
        string? question = null;
        await using var portal = new RawServer(async (peer, _) =>
        {
            question = await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 204 No Content\r\n\r\n");
        });
        await using var node = await StartAsync(portal.Address);

        (await node.GetAsync("Cookie: c=\u00c3\u00a9\r\n")).Should().StartWith("HTTP/1.1 200");
        question.Should().Contain("\r\nCookie: c=\u00c3\u00a9\r\n");
    }

    [ByteCase("401 No", "X-A: a\u0001b\r\n", 401)]
    [ByteCase("101 Switching Protocols", "Connection: upgrade\r\nUpgrade: x\r\n", 503)]
    public async Task Forward_AnswerThatCannotBePassedOn_IsNoError(string status, string fields, int expected)
    {
        await using var portal = RawServer.Answering($"HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n");
        await using var node = await StartAsync(portal.Address);

        (await node.GetAsync()).Should().StartWith($"HTTP/1.1 {expected}").And.NotContain("\u0001");
    }

    [TestCase("X_Groups: root\r\n", "X_Groups")]
    [TestCase("remote_user: root\r\n", "root")]
    public async Task Forward_NameWithUnderscores_DoesNotPassForACopiedField(string fields, string forged)
    {
        await using var portal = RawServer.Answering("HTTP/1.1 204 No Content\r\nRemote-User: ann\r\nX-Groups: a\r\n\r\n");
        await using var node = await StartAsync(portal.Address, """, "CopyHeaders": [ "Remote-User", "X-Groups" ]""");

        (await node.GetAsync(fields)).Should().StartWith("HTTP/1.1 200").And.NotContain(forged);
    }

    [Test]
    public async Task Forward_NoAnswerInTime_Is503()
    {
        await using var portal = new RawServer(async (peer, _) => await peer.ReadToEndAsync());
        await using var node = await StartAsync(portal.Address, """, "Timeout": "00:00:00.200" """);

        (await node.GetAsync()).Should().StartWith("HTTP/1.1 503").And.Contain("Authentication is not available");
        await node.Node.Log.SaysAsync("no answer within 0.2 s", "requests that need it are answered 503");
    }

    [Test]
    public async Task Forward_ServerIsGone_Is503()
    {
        var portal = RawServer.Answering("");
        await using var node = await StartAsync(portal.Address);
        await portal.DisposeAsync();

        (await node.GetAsync()).Should().StartWith("HTTP/1.1 503");
    }

    private static Task<GuardedNode> StartAsync(string portal, string setting = "", string route = "") =>
        GuardedNode.StartAsync($$"""{ "Type": "Forward", "Address": "{{portal}}/verify" {{setting}} }""", route);
}
