using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Routes;

/// <summary>Routes that answer by themselves.</summary>
internal sealed class RouteAnswerTests
{
    [TestCase("""{ "To": "https://{host}{path}{query}" }""", "/a%20b/../c?d=1&e", "308 Permanent Redirect",
        "https://a.test/a%20b/../c?d=1&e")]
    [TestCase("""{ "To": "https://{host}:8443{path}{query}", "Status": 301 }""", "/", "301 Moved Permanently", "https://a.test:8443/")]
    [TestCase("""{ "To": "{scheme}://new.test:{port}/?from={route}", "Status": 302 }""", "/x", "302 Found", "http://new.test:1234/?from=1")]
    [TestCase("""{ "To": "/{method}/{client}/{header:X-A}" }""", "/x", "308 Permanent Redirect", "/GET/127.0.0.1/a")]
    public async Task Redirect_Values_ComeFromTheRequest(string redirect, string target, string status, string location)
    {
        await using var node = await RouteNode.StartAsync($$"""{ "Redirect": {{redirect}} }""");

        var answer = await node.GetAsync(target, "X-A: a\r\n", host: "a.test:1234");

        answer.Should().StartWith($"HTTP/1.1 {status}\r\nContent-Length: 0\r\n").And.Contain($"\r\nLocation: {location}\r\n");
    }

    [Test]
    public async Task Redirect_ValueThatCannotBePartOfATarget_Is400()
    {
        await using var node = await RouteNode.StartAsync("""{ "Redirect": { "To": "/{header:X-A}" } }""");

        (await node.GetAsync("/", "X-A: a b\r\n")).Should().StartWith("HTTP/1.1 400");
    }

    [Test]
    public async Task Respond_Body_HasStatusTypeAndValues()
    {
        await using var node = await RouteNode.StartAsync(
            """
            { "Respond": { "Status": 503, "Body": "{path} is back at 10.\n" }, "ResponseHeaders": { "Set": { "Retry-After": "60" } } }
            """);

        var answer = await node.GetAsync("/x");

        answer.Should().StartWith("HTTP/1.1 503 Service Unavailable\r\n").And.Contain("\r\nContent-Type: text/plain; charset=utf-8\r\n")
            .And.Contain("\r\nRetry-After: 60\r\n").And.EndWith("\r\n\r\n/x is back at 10.\n");
        (await node.GetAsync("/x", method: "HEAD")).Should().Contain("\r\nContent-Length: 18\r\n").And.EndWith("\r\n\r\n");
    }

    [TestCase("")]
    [TestCase("\"Compression\": { \"MinSize\": 1 },")]
    public async Task Respond_MethodInLowerCase_IsNotHead(string listener)
    {
        await using var node = await RouteNode.StartAsync("""{ "Respond": { "Body": "hello" } }""", listener);

        (await node.GetAsync("/x", method: "head")).Should().StartWith("HTTP/1.1 200").And.EndWith("\r\n\r\nhello");
    }

    // RFC 9110 section 10.1.1: a client that waits for 100 may send its body after another answer, or may not.
    [TestCase("""{ "Respond": {} }""")]
    [TestCase("""{ "Redirect": { "To": "/x" } }""")]
    public async Task Answer_ClientThatWaitsFor100_EndsTheConnection(string action)
    {
        await using var node = await RouteNode.StartAsync(action);

        using var client = await RawPeer.ConnectAsync(node.Node.Port);
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        var answer = await client.ReadHeadAsync(); // Kestrel waits some seconds for the body before it closes.

        answer.Should().NotContain("100 Continue").And.Contain("\r\nConnection: close\r\n");
    }

    [TestCase(204)]
    [TestCase(304)]
    public async Task Respond_StatusWithoutBody_HasNone(int status)
    {
        await using var node = await RouteNode.StartAsync($$"""{ "Respond": { "Status": {{status}}, "Body": "x" } }""");

        (await node.GetAsync("/")).Should().StartWith($"HTTP/1.1 {status}").And.EndWith("\r\n\r\n").And.NotContain("Content-Length");
    }

    [Test]
    public async Task Respond_File_IsReadAgainWhenItChanges()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("down.html");
        await File.WriteAllTextAsync(file, "<p>{path}");
        await using var node = await RouteNode.StartAsync($$"""{ "Respond": { "Status": 503, "File": "{{file}}" } }""");
        (await node.GetAsync("/")).Should().Contain("\r\nContent-Type: text/html\r\n").And.EndWith("\r\n\r\n<p>{path}");

        await File.WriteAllTextAsync(file, "<p>later");
        File.SetLastWriteTimeUtc(file, TimeProvider.System.GetUtcNow().UtcDateTime.AddMinutes(1));

        await Eventually.BeTrueAsync(async () => (await node.GetAsync("/")).EndsWith("<p>later", StringComparison.Ordinal), "it is read");
        File.Delete(file);
        (await node.GetAsync("/")).Should().EndWith("<p>later", "a file that is gone leaves the content");
    }

    [Test]
    public async Task AccessLog_FalseOnARoute_HasNoLinesOfIt()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("access.log");
        await using var node = await RouteNode.StartAsync(
            """
            { "Path": "/quiet", "Respond": { "Status": 204 }, "AccessLog": false },
            { "Path": "/silent", "Pool": "api", "AccessLog": false }
            """,
            $"\"AccessLog\": \"{file}\",");

        await node.GetAsync("/quiet");
        await node.GetAsync("/silent");
        await node.GetAsync("/loud");

        var text = "";
        await Eventually.BeTrueAsync(
            async () => (text = await File.ReadAllTextAsync(file)).Contains("GET /loud", StringComparison.Ordinal), "the line is written");
        text.Should().NotContain("quiet").And.NotContain("silent");
    }
}
