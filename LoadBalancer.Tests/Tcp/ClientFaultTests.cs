using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Tcp;

/// <summary>What a client alone could do to make a healthy backend look ill. HTTP: Http/Forwarding/ClientFaultTests.cs.</summary>
internal sealed class ClientFaultTests
{
    [Test]
    public async Task Client_SendsWhatTheBackendResetsAConnectionFor_BlamesNobody()
    {
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadSomeAsync();
            peer.Reset();
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);

        for (var i = 0; i < 8; i++)
        {
            using var client = await node.ConnectAsync();
            await client.SendAsync("not what it speaks");
            (await client.ReadToItsEndAsync()).IsReset.Should().BeTrue();
        }

        await node.QuietAsync();
        node.Ended(ConnectionEnd.BackendReset).Should().Be(8);
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
        node.Pool.Snapshot.Members[0].Health.IsUp.Should().BeTrue();
    }

    [Test]
    public async Task Backend_ResetsBeforeTheClientHasSentAnything_IsItsFault()
    {
        var connected = new TaskCompletionSource(); // A reset during the connect would fail that.
        await using var backend = new RawServer(async (peer, _) =>
        {
            await connected.Task;
            await peer.SendAsync("hello");
            peer.Reset();
        });
        await using var node = await TcpNode.StartAsync([backend.Port]);
        using var client = await node.ConnectAsync();
        connected.SetResult();

        await client.ReadToEndAsync();

        await node.QuietAsync();
        node.Pool.Snapshot.Members[0].Failures.Should().Be(1);
    }
}
