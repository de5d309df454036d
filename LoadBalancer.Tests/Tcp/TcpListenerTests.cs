using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Tcp;

/// <summary>How many connections a TCP listener takes, and how it stops.</summary>
internal sealed class TcpListenerTests
{
    [Test]
    public async Task MaxConnections_Surplus_IsClosedAtOnceAndCounted()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port], listener: listener => listener with { MaxConnections = 1 });
        using var first = await node.ConnectAsync();
        await first.SendAsync("x");
        await first.ReadAsync(1);

        using var second = await node.ConnectAsync();

        (await second.ReadToItsEndAsync()).Text.Should().BeEmpty();
        node.Listener.Refused.Should().Be(1);
        first.EndSending();
        (await first.ReadToItsEndAsync()).Should().Be(("", false));
        await node.QuietAsync();
        using var third = await node.ConnectAsync();
        await third.SendAsync("x");
        (await third.ReadAsync(1)).Should().Be("x");
    }

    [Test]
    public async Task Stop_ConnectionIsOpen_MayGoOnToItsEnd()
    {
        await using var backend = RawServer.Echoing();
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();
        await client.SendAsync("x");
        await client.ReadAsync(1);

        var stopping = node.StopAsync();
        await Eventually.BeTrueAsync(
            async () =>
            {
                try
                {
                    using var late = await node.ConnectAsync();
                    return false;
                }
                catch (System.Net.Sockets.SocketException)
                {
                    return true;
                }
            },
            "no connection is accepted any more");
        await client.SendAsync("still here");
        (await client.ReadAsync(10)).Should().Be("still here");
        stopping.IsCompleted.Should().BeFalse();
        client.EndSending();

        (await client.ReadToItsEndAsync()).Should().Be(("", false));
        await stopping;
    }

    [Test]
    public async Task Stop_TimeIsUp_CutsWhatIsLeft()
    {
        var heard = new TaskCompletionSource<(string, bool)>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.SendAsync("x");
            heard.SetResult(await peer.ReadToItsEndAsync());
        });
        using var hole = new BlackHole();
        await using var node = await TcpNode.StartAsync([backend.Port, hole.Port]);
        using var client = await node.ConnectAsync();
        await client.ReadAsync(1);
        using var connecting = await node.ConnectAsync();
        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[1].InFlight == 1, "it is being connected");
        using var time = new CancellationTokenSource();

        var stopping = node.StopAsync(time.Token);
        await time.CancelAsync();
        await stopping;

        (await client.ReadToItsEndAsync()).Should().Be(("", true));
        (await connecting.ReadToItsEndAsync()).Text.Should().BeEmpty();
        (await heard.Task).Should().Be(("", true));
        await node.QuietAsync();
        node.Ended(ConnectionEnd.Shutdown).Should().Be(2);
        node.Pool.Snapshot.Members.Sum(member => member.Failures).Should().Be(0);
    }
}
