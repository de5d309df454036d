using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>What becomes of connections when the node is told to stop.</summary>
internal sealed class ShutdownTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Test]
    public async Task Stop_RequestInFlight_FinishesItAndClosesTheConnection()
    {
        var (received, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            received.SetResult();
            await answer.Task;
            await peer.SendAsync(Ok);
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await received.Task;

        var stopping = node.StopAsync();
        await Eventually.BeTrueAsync(async () => !await CanConnectAsync(node), "it no longer accepts");
        stopping.IsCompleted.Should().BeFalse();
        answer.SetResult();

        (await client.ReadToEndAsync()).Should().StartWith("HTTP/1.1 200").And.Contain("Connection: close").And.EndWith("ok");
        await stopping;
    }

    [Test]
    public async Task Stop_IdleConnections_AreClosedAtOnce()
    {
        await using var backend = RawServer.Answering(Ok);
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var used = await node.ConnectAsync();
        await used.SendAsync("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        (await used.ReadResponseAsync()).Should().EndWith("ok");
        using var unused = await node.ConnectAsync();

        // Without a deadline: it ends because there is nothing to wait for.
        await node.StopAsync();

        (await used.ReadToEndAsync()).Should().BeEmpty();
        (await unused.ReadToEndAsync()).Should().BeEmpty();
    }

    [Test]
    public async Task Stop_Tunnel_IsCutAtTheDeadline()
    {
        var ended = new TaskCompletionSource();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.SendAsync("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
            await peer.SendAsync("echo " + await peer.ReadUntilAsync("\n"));
            await peer.ReadToEndAsync();
            ended.SetResult();
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
        (await client.ReadHeadAsync()).Should().StartWith("HTTP/1.1 101");
        using var deadline = new CancellationTokenSource();

        var stopping = node.StopAsync(deadline.Token);
        await Eventually.BeTrueAsync(async () => !await CanConnectAsync(node), "it no longer accepts");
        await client.SendAsync("still there?\n");
        (await client.ReadUntilAsync("\n")).Should().Be("echo still there?\n");
        stopping.IsCompleted.Should().BeFalse();
        await deadline.CancelAsync();

        (await client.ReadToEndAsync()).Should().BeEmpty();
        await ended.Task;
        await stopping;
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [TestCase("Content-Length: 10\r\n\r\nhello")]
    [TestCase("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")]
    public async Task Stop_UploadThatNeverEnds_IsCutAtTheDeadline(string request)
    {
        var (received, seen) = (new TaskCompletionSource(), new TaskCompletionSource<string>());
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await peer.ReadUntilAsync("hello");
            received.SetResult();
            seen.SetResult(await peer.ReadToEndAsync());
        });
        await using var node = await TestNode.StartAsync([backend.Address]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("POST / HTTP/1.1\r\nHost: a\r\n" + request);
        await received.Task;
        using var deadline = new CancellationTokenSource();

        var stopping = node.StopAsync(deadline.Token);
        await Eventually.BeTrueAsync(async () => !await CanConnectAsync(node), "it no longer accepts");
        await deadline.CancelAsync();

        (await seen.Task).Should().BeOneOf("", "\r\n");
        await stopping;
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    private static async Task<bool> CanConnectAsync(TestNode node)
    {
        try
        {
            (await node.ConnectAsync()).Dispose();
            return true;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return false;
        }
    }
}
