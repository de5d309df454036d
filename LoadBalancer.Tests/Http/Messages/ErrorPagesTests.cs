using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Messages;

/// <summary>Pages of a listener for the load balancer's own error responses.</summary>
internal sealed class ErrorPagesTests : IDisposable
{
    private const string Html = "Accept: text/html\r\n";

    private readonly TemporaryDirectory _directory = new();

    [TestCase(null, false)]
    [TestCase("", false)]
    [TestCase("text/html", true)]
    [TestCase("TEXT/HTML;q=0.1", true)]
    [TestCase("text/html;q=0", false)]
    [TestCase("text/html;q=0, */*", false)]
    [TestCase("*/*, text/*;q=0.0", false)]
    [TestCase("*/*;q=0, text/*", true)]
    [TestCase("*/*", true)]
    [TestCase("text/*", true)]
    [TestCase("application/json", false)]
    [TestCase("text/plain, application/xhtml+xml", false)]
    [TestCase("text/html;level=1;q=0.5, text/html;q=0", true)]
    [TestCase("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true)]
    [TestCase(";;;", false)]
    public void IsAccepted_Ranges_MostPreciseOneDecides(string? accept, bool expected) =>
        ErrorPages.IsAccepted(accept is null ? default : new(accept)).Should().Be(expected);

    [Test]
    public async Task Error_ClientAcceptsHtml_GetsThePageOfTheStatusOrItsClass()
    {
        await using var node = await StartAsync("""{ "Pool": "api" }""");

        Disable(node);
        var unavailable = await node.GetAsync("/", Html);
        var method = await node.GetAsync("/", Html, method: "TRACE");

        unavailable.Should().StartWith("HTTP/1.1 503").And.Contain("\r\nContent-Type: text/html; charset=utf-8\r\n")
            .And.Contain("\r\nContent-Length: 12\r\n").And.Contain("\r\nVary: Accept\r\n").And.Contain("\r\nRetry-After: 2\r\n")
            .And.Contain("\r\nProxy-Status: loadbalancer; error=destination_unavailable\r\n").And.EndWith("\r\n\r\n<p>503 down\n");
        method.Should().StartWith("HTTP/1.1 405").And.EndWith("\r\n\r\n<p>4xx\n");
    }

    [TestCase("")]
    [TestCase("Accept: application/json\r\n")]
    [TestCase("Accept: text/html;q=0\r\n")]
    public async Task Error_ClientDoesNotAcceptHtml_GetsText(string accept)
    {
        await using var node = await StartAsync("""{ "Pool": "api" }""");

        Disable(node);

        (await node.GetAsync("/", accept)).Should().StartWith("HTTP/1.1 503").And.Contain("\r\nContent-Type: text/plain; charset=utf-8\r\n")
            .And.Contain("\r\nVary: Accept\r\n").And.EndWith("\r\n\r\nNo backend available\n");
    }

    [Test]
    public async Task Error_Head_HasTheLengthAndNoBody()
    {
        await using var node = await StartAsync("""{ "Pool": "api" }""");

        Disable(node);

        (await node.GetAsync("/", Html, method: "HEAD")).Should().Contain("\r\nContent-Length: 12\r\n").And.EndWith("\r\n\r\n");
    }

    [Test]
    public async Task Error_OfAGuard_HasThePageAndTheRoutesFields()
    {
        await using var node = await StartAsync(
            """{ "Pool": "api", "Deny": [ "127.0.0.0/8" ], "ResponseHeaders": { "Set": { "X-Mine": "{path}" } } }""");

        (await node.GetAsync("/x", Html)).Should().StartWith("HTTP/1.1 403").And.Contain("\r\nX-Mine: /x\r\n")
            .And.EndWith("\r\n\r\n<p>4xx\n");
    }

    [Test]
    public async Task Error_OfAGrpcCall_IsAStatusOfGrpc()
    {
        await using var node = await StartAsync("""{ "Pool": "api" }""");

        Disable(node);

        (await node.GetAsync("/", Html + "Content-Type: application/grpc\r\n", method: "POST")).Should().StartWith("HTTP/1.1 200")
            .And.Contain("\r\nGrpc-Status: 14\r\n").And.NotContain("<p>");
    }

    [TestCase("GET http://x@a.test/ HTTP/1.1", 400)] // before any route
    public async Task Error_BeforeAnyRoute_HasThePageToo(string line, int status)
    {
        await using var node = await StartAsync("""{ "Pool": "api" }""");

        (await RawPeer.ExchangeAsync(node.Node.Port, $"{line}\r\nHost: a\r\n{Html}\r\n")).Should().StartWith($"HTTP/1.1 {status}")
            .And.EndWith("\r\n\r\n<p>4xx\n");
    }

    [Test]
    public async Task Error_OfABackendOrARespondRoute_StaysAsItIs()
    {
        await using var node = await StartAsync("""{ "Respond": { "Status": 503, "Body": "Back at 10." } }""");

        (await node.GetAsync("/", Html)).Should().EndWith("\r\n\r\nBack at 10.").And.NotContain("Vary");
    }

    [Test]
    public async Task Page_Changes_IsReadAgain()
    {
        await using var node = await StartAsync("""{ "Pool": "api", "Deny": [ "127.0.0.0/8" ] }""");

        await File.WriteAllTextAsync(_directory.File("4xx.html"), "<p>later\n");
        File.SetLastWriteTimeUtc(_directory.File("4xx.html"), TimeProvider.System.GetUtcNow().UtcDateTime.AddMinutes(1));

        await Eventually.BeTrueAsync(
            async () => (await node.GetAsync("/", Html)).EndsWith("<p>later\n", StringComparison.Ordinal), "it is read");
    }

    [Test]
    public async Task Reload_PagesComeAndGo_IsApplied()
    {
        await using var node = await StartAsync("");
        string Configuration(string listener) => $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { {{listener}} "Deny": [ "127.0.0.0/8" ], "Address": "http://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } } } }
            """;

        await node.Node.ApplyAsync(Configuration(""));
        var without = await node.GetAsync("/", Html);
        await node.Node.ApplyAsync(Configuration(Setting()));

        without.Should().EndWith("Access from this address is not allowed\n");
        (await node.GetAsync("/", Html)).Should().EndWith("<p>4xx\n");
    }

    public void Dispose() => _directory.Dispose();

    private static void Disable(RouteNode node) => node.Node.FindPool("api")!.Change(() =>
        node.Node.FindPool("api")!.Snapshot.Members[0].AdminState = AdminState.Disabled);

    private string Setting() => $$"""
        "ErrorPages": { "503": "{{_directory.File("503.html")}}", "4XX": "{{_directory.File("4xx.html")}}", "502": null },
        """;

    private async Task<RouteNode> StartAsync(string routes)
    {
        await File.WriteAllTextAsync(_directory.File("503.html"), "<p>503 down\n");
        await File.WriteAllTextAsync(_directory.File("4xx.html"), "<p>4xx\n");
        return await RouteNode.StartAsync(routes, Setting());
    }
}
