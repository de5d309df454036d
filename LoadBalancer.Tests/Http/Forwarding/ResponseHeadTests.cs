using System.Globalization;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>What a client gets of a response's head: every field and status that a gateway may pass on, whatever the other is.</summary>
[TimeLimit(60)]
internal sealed class ResponseHeadTests
{
    [ByteCase("HEAD", "200 OK\r\nContent-Length: 5\r\nX-A: 1", "200 OK\r\nContent-Length: 5\r\nX-A: 1")]
    [ByteCase("HEAD", "200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1", "200 OK\r\nX-A: 1")]
    [ByteCase("HEAD", "304 Not Modified\r\nContent-Length: 5\r\nETag: x", "304 Not Modified\r\nContent-Length: 5\r\nETag: x")]
    [ByteCase("HEAD", "204 No Content\r\nX-A: 1", "204 No Content\r\nX-A: 1")]
    [ByteCase("GET", "304 Not Modified\r\nContent-Length: 5\r\nETag: x", "304 Not Modified\r\nContent-Length: 5\r\nETag: x")]
    [ByteCase("GET", "304 Not Modified\r\nTransfer-Encoding: chunked\r\nETag: x", "304 Not Modified\r\nETag: x")]
    [ByteCase("GET", "204 No Content\r\nContent-Length: 0\r\nX-A: 1", "204 No Content\r\nX-A: 1")]
    [ByteCase("GET", "205 Reset Content\r\nContent-Length: 0\r\nX-A: 1", "205 Reset Content\r\nContent-Length: 0\r\nX-A: 1")]
    [ByteCase("GET", "205 Reset Content\r\nX-A: 1", "205 Reset Content\r\nContent-Length: 0\r\nX-A: 1")]
    [ByteCase("GET", "200 Fine by me\r\nContent-Length: 0", "200 Fine by me\r\nContent-Length: 0")]
    [ByteCase("GET", "200\r\nContent-Length: 0", "200 OK\r\nContent-Length: 0")]
    [ByteCase("GET", "299 \r\nContent-Length: 0", "299 \r\nContent-Length: 0")]
    [ByteCase("GET", "299 Odd\r\nContent-Length: 0", "299 Odd\r\nContent-Length: 0")]
    [ByteCase("GET", "600 Odd\r\nContent-Length: 0", "600 Odd\r\nContent-Length: 0")]
    [ByteCase("GET", "999 Request denied\r\nContent-Length: 0", "999 Request denied\r\nContent-Length: 0")]
    [ByteCase("GET", "200 Tr\u00e8s bien\r\nContent-Length: 0", "200 OK\r\nContent-Length: 0")] // Kestrel can send ASCII only.
    [ByteCase("GET", "299 Tr\u00e8s bien\r\nContent-Length: 0", "299 \r\nContent-Length: 0")]
    [ByteCase("GET", "200 OK\r\nContent-Length: 0\r\nX-A: a\tb\r\nX-B: \u00e9\r\nX-C:",
        "200 OK\r\nContent-Length: 0\r\nX-A: a\tb\r\nX-B: \u00e9\r\nX-C: ")]
    [ByteCase("GET", "401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: a\r\nWWW-Authenticate: b",
        "401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: a\r\nWWW-Authenticate: b")]
    [ByteCase("GET", "200 OK\r\nContent-Length: 0\r\nETag: 1\r\nETag: 2", "200 OK\r\nContent-Length: 0\r\nETag: 1\r\nETag: 2")]
    public async Task Response_OddHead_KeepsWhatAGatewayMayPassOn(string method, string head, string expected)
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                await peer.SendAsync($"HTTP/1.1 {head}\r\nDate: now\r\n\r\n");
            }
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();

        for (var i = 0; i < 2; i++) // The client's connection can be used again.
        {
            await client.SendAsync(string.Create(CultureInfo.InvariantCulture, $"{method} /{i} HTTP/1.1\r\nHost: a\r\n\r\n"));
            (await client.ReadHeadAsync())!.Replace("Date: now\r\n", "", StringComparison.Ordinal)
                .Should().Be($"HTTP/1.1 {expected}\r\n\r\n");
        }
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }
}
