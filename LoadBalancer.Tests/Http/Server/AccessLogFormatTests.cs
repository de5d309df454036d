using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>The format of an access log, which a reload changes while the listener runs.</summary>
internal sealed class AccessLogFormatTests
{
    [Test]
    public async Task Reload_FormatAndQueryChange_HoldForTheNextLine()
    {
        using var directory = new TemporaryDirectory();
        var file = directory.File("access.log");
        string Configuration(string format) => $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web", "AccessLog": "{{file}}", {{format}}
                    "Routes": [ { "Name": "own", "Respond": {} } ] } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "http://127.0.0.1:1" } } } } } }
            """;
        await using var node = await ConfiguredNode.StartRawAsync(Configuration(""));

        await AskAsync(node, file, 1);
        await node.ApplyAsync(Configuration("""  "AccessLogFormat": [ "path", "query", "host", "route" ],"""));
        await AskAsync(node, file, 2);
        await node.ApplyAsync(Configuration("""  "AccessLogFormat": [ "query" ], "AccessLogQuery": false,"""));
        await AskAsync(node, file, 3);
        await node.ApplyAsync(Configuration("""  "AccessLogFormat": "Combined", "AccessLogQuery": false,"""));
        await AskAsync(node, file, 4);

        var lines = await File.ReadAllLinesAsync(file);
        lines[0].Should().MatchRegex("\"GET /x HTTP/1.1\" 200 0 [0-9.]+ -$");
        lines[1].Should().Be("""{"path":"/x","query":"a=1","host":"a.test","route":"own"}""");
        lines[2].Should().Be("""{"query":null}""");
        lines[3].Should().EndWith("\"GET /x HTTP/1.1\" 200 0 \"-\" \"it/1\"");
    }

    private static async Task AskAsync(ConfiguredNode node, string file, int line)
    {
        await RawPeer.ExchangeAsync(
            node.Port, "GET /x?a=1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: it/1\r\nConnection: close\r\n\r\n");
        await Eventually.BeTrueAsync(async () => (await File.ReadAllLinesAsync(file)).Length == line, "the line is written");
    }
}
