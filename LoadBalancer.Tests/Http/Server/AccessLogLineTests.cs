using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>
/// Each request is one line of the access log, with what the client saw; also where it was refused, by us or by Kestrel, and where its body
/// was not read to its end.
/// </summary>
[TimeLimit(60)]
internal sealed class AccessLogLineTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    private const string Http = "HTTP/1.1\r\nHost: a\r\n";

    private static readonly (string Name, string Request, string[] Lines)[] Cases =
    [
        ("TooLarge", $"POST /x {Http}Content-Length: 100\r\n\r\n{new string('x', 100)}", ["\"POST /x HTTP/1.1\" 413 30 "]),
        ("TooLargeAndNotSent", $"POST /x {Http}Content-Length: 100\r\n\r\n", ["\"POST /x HTTP/1.1\" 413 30 "]),
        ("TooLargeInChunks", $"POST /x {Http}Transfer-Encoding: chunked\r\n\r\n64\r\n{new string('x', 100)}\r\n0\r\n\r\n",
            ["\"POST /x HTTP/1.1\" 413 30 "]),
        ("TooLargeAndExpects", $"POST /x {Http}Expect: 100-continue\r\nContent-Length: 100\r\n\r\n", ["\"POST /x HTTP/1.1\" 413 30 "]),
        ("ExpectsAndIsRefused", $"POST /refused {Http}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
            ["\"POST /refused HTTP/1.1\" 403 2 "]),
        ("BrokenChunk", $"POST /x {Http}Transfer-Encoding: chunked\r\n\r\nzz\r\n", ["\"POST /x HTTP/1.1\" 400 39 "]),
        ("WithBodyThenMalformed", $"POST /x {Http}Content-Length: 5\r\n\r\nhelloGET /y {Http}no colon\r\n\r\n",
            ["\"POST /x HTTP/1.1\" 200 2 ", "\"GET /y HTTP/1.1\" 400 25 "]),
        ("GetThenMalformed", $"GET /x {Http}\r\nGET /y {Http}no colon\r\n\r\n",
            ["\"GET /x HTTP/1.1\" 200 2 ", "\"GET /y HTTP/1.1\" 400 25 "]),
        ("LargeHead", $"GET /x {Http}X: {new string('x', 40_000)}\r\n\r\n", ["\"GET /x HTTP/1.1\" 431 "]),
        ("NoHost", "GET /x HTTP/1.1\r\n\r\n", ["\"GET /x HTTP/1.1\" 400 25 "]),
        ("OddTarget", "GET h:80 HTTP/1.1\r\nHost: a\r\n\r\n", ["\"- - -\" 400 25 "]),
        ("LongTarget", $"GET /{new string('x', 10_000)} {Http}\r\n", ["\"- - -\" 414 "]),
        ("OddVersion", "GET /x HTTP/1.7\r\nHost: a\r\n\r\n", ["\"- - -\" 505 "]),
        ("Health", $"GET /health {Http}Connection: close\r\n\r\n", ["\"GET /health HTTP/1.1\" 200 58 "]),
        ("HealthHead", $"HEAD /health {Http}Connection: close\r\n\r\n", ["\"HEAD /health HTTP/1.1\" 200 0 "]),
        ("Tunnel", $"GET /chat {Http}Connection: Upgrade\r\nUpgrade: x\r\n\r\n", ["\"GET /chat HTTP/1.1\" 101 5 "]),
    ];

    private static IEnumerable<string> CaseNames => Cases.Select(candidate => candidate.Name);

    [Test]
    public async Task Request_AnswerOfAnyKind_IsOneLine([ValueSource(nameof(CaseNames))] string name)
    {
        var (_, request, expected) = Cases.Single(candidate => candidate.Name == name);
        using var directory = new TemporaryDirectory();
        await using var backend = new RawServer(ServeAsync);
        await using (var node = await StartAsync(backend, directory))
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync(request);
            for (var i = 0; i < expected.Length; i++)
            {
                var head = await client.ReadHeadAsync();
                await client.ReadAsync(head!.Contains("101", StringComparison.Ordinal) ? 5
                    : request.StartsWith("HEAD", StringComparison.Ordinal) ? 0 : LengthIn(head));
            }
            client.Dispose();
            await node.StopAsync();
            node.Errors.Summary().Total.Should().BeLessThanOrEqualTo(1, "what was refused is counted once");
        }

        var lines = await File.ReadAllLinesAsync(directory.File("access.log"));
        var text = string.Join('\n', lines);
        foreach (var part in expected)
        {
            text.Should().Contain(part);
        }
        lines.Should().HaveCount(name.Contains("Then", StringComparison.Ordinal) ? 2 : 1);
    }

    [TestCase(true, "1.2.3.4")]
    [TestCase(false, "127.0.0.1")]
    public async Task Client_BehindAProxy_IsWhoATrustedOneNames(bool isTrusted, string client)
    {
        using var directory = new TemporaryDirectory();
        await using var backend = RawServer.Answering(Ok);
        await using (var node = await StartAsync(
            backend, directory,
            listener => isTrusted ? listener with { TrustedProxies = [IPNetwork.Parse("127.0.0.0/8")] } : listener))
        {
            await node.ExchangeAsync($"GET /x {Http}X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\nConnection: close\r\n\r\n");
            await node.StopAsync();
        }

        (await File.ReadAllLinesAsync(directory.File("access.log"))).Should().ContainSingle().Which.Should().StartWith(client + " - - [");
    }

    [Test]
    public async Task Client_LeavesBeforeTheAnswer_Is499()
    {
        using var directory = new TemporaryDirectory();
        var arrived = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            arrived.SetResult();
            await peer.ReadToEndAsync();
        });
        await using (var node = await StartAsync(backend, directory))
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync($"GET /x {Http}\r\n");
            await arrived.Task;
            client.Reset();
            await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].InFlight == 0, "it is over");
            await node.StopAsync();
        }

        (await File.ReadAllLinesAsync(directory.File("access.log"))).Should().ContainSingle().Which.Should().Contain("\" 499 0 ");
    }

    private static Task<TestNode> StartAsync(
        RawServer backend, TemporaryDirectory directory, Func<HttpListenerOptions, HttpListenerOptions>? listener = null) =>
        TestNode.StartAsync([backend.Address], listener: options => (listener ?? (same => same))(options with
        {
            AccessLog = directory.File("access.log"),
            MaxRequestBodySize = 50,
            StatusEndpoints = true,
        }));

    private static int LengthIn(string head) => int.Parse(
        head.Split("\r\n").Single(line => line.StartsWith("Content-Length: ", StringComparison.Ordinal)).AsSpan(16),
        System.Globalization.CultureInfo.InvariantCulture);

    private static async Task ServeAsync(RawPeer peer, int number)
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            if (head.StartsWith("POST /refused", StringComparison.Ordinal))
            {
                await peer.SendAsync("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
                return;
            }
            if (head.StartsWith("GET /chat", StringComparison.Ordinal))
            {
                await peer.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello");
                return;
            }
            await peer.ReadAsync(head.Contains("Content-Length: 5", StringComparison.OrdinalIgnoreCase) ? 5 : 0);
            await peer.SendAsync(Ok);
        }
    }
}
