using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Upstream.Http1;

/// <summary>How long connections to backends are kept between requests.</summary>
internal sealed class IdleConnectionTests
{
    [TestCase("", 59, 1)]
    [TestCase("", 61, 2)]
    [TestCase("Keep-Alive: timeout=5\r\n", 3, 1)]
    [TestCase("Keep-Alive: timeout=5\r\n", 4, 2)]
    [TestCase("keep-alive: max=100, Timeout=5\r\n", 4, 2)]
    [TestCase("Keep-Alive: timeout=1\r\n", 0, 2)]
    [TestCase("Keep-Alive: timeout=0\r\n", 0, 2)]
    [TestCase("Keep-Alive: timeout=600\r\n", 61, 2)]
    [TestCase("Keep-Alive: timeout=soon, 5\r\n", 59, 1)]
    public async Task Connection_IdleFor_IsUsedAgainAsLongAsTheBackendKeepsIt(string field, int seconds, int connections)
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Answering($"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{field}\r\nok");
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);

        await node.Client.GetStringAsync("/");
        clock.Advance(TimeSpan.FromSeconds(seconds));
        await node.Client.GetStringAsync("/");

        backend.Accepted.Should().Be(connections);
    }

    // Connections that are idle for too long are closed every 250 ms only.
    [TestCase(3999, 1)]
    [TestCase(4001, 2)]
    public async Task Connection_InItsLastSecond_IsNotUsedBetweenTwoSweepsEither(int milliseconds, int connections)
    {
        var clock = new FakeTimeProvider();
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\nok");
        await using var node = await TestNode.StartAsync([backend.Address], time: clock);
        clock.Advance(TimeSpan.FromMilliseconds(100));

        await node.Client.GetStringAsync("/");
        clock.Advance(TimeSpan.FromMilliseconds(milliseconds));
        await node.Client.GetStringAsync("/");

        backend.Accepted.Should().Be(connections);
    }
}
