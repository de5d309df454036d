using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>The limits of field lines where the lines follow another request on the connection.</summary>
internal sealed class PipelinedHeadTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [TestCase(501)] // more bytes than a line may have, and fewer: whether a head is looked at depends on how many were read
    [TestCase(20)]
    public async Task HeaderLimits_LongLineBehindAPipelinedRequest_IsFound(int first)
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync(
            [backend.Address],
            listener: listener => listener with { HeaderLimits = new HeaderLimitOptions { LineBytes = 500 } });
        using var client = await node.ConnectAsync();

        await client.SendAsync(
            $"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {first}\r\n\r\n{new string('b', first)}"
            + $"GET / HTTP/1.1\r\nHost: a\r\nX-Long: {new string('l', 493)}\r\n\r\n");

        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 200 ");
        (await client.ReadResponseAsync()).Should().StartWith("HTTP/1.1 431 ");
    }
}
