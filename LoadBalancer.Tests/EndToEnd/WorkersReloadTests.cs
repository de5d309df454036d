using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Listeners that workers join, and which come, go, move and change while the node runs.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class WorkersReloadTests
{
    private readonly int _port = ReservedPorts.Next();
    private readonly int _other = ReservedPorts.Next();

    [Test]
    public async Task ListenerOfTasksMoves_TaskIsDoneAndOthersRegisterAnew()
    {
        var (clients, workers) = (ReservedPorts.Next(), ReservedPorts.Next());
        await using var node = await ConfiguredNode.StartRawAsync(Tasks(_port, _other));
        using var worker = await LinePeer.ConnectAsync(_other);
        using var client = await LinePeer.ConnectAsync(_port);
        var task = await GiveTaskAsync(client, worker);

        await node.ApplyAsync(Tasks(clients, workers));
        await worker.SendAsync($"TASK_RESULT|{task}|done");

        (await client.ReadAsync(2)).Should().Equal("RESULT|a|done", null);
        (await worker.ReadAsync()).Should().BeNull("it is to register anew");
        using var again = await ConnectedAsync(workers);
        await again.SendAsync("REGISTER|w|1");
        (await again.ReadAsync()).Should().NotBeNull();
        using var later = await LinePeer.ConnectAsync(clients);
        await later.SendAsync("TASK|b|2");
        await again.SendAsync($"TASK_RESULT|{await again.ReadTaskAsync()}|too");
        (await later.ReadAsync()).Should().Be("RESULT|b|too");
        await RawPeer.RefusedAsync(_port);
    }

    [Test]
    public async Task BrokerMoves_AnswersAtItsNewPorts()
    {
        var ports = ReservedPorts.Next(12);
        await using var node = await ConfiguredNode.StartRawAsync(Broker(ports));

        await node.ApplyAsync(Broker(ports + 6));

        await Eventually.BeTrueAsync(() => node.Listener.Address == $"tcp://127.0.0.1:{ports + 6}", "it serves there");
        await using var worker = new ReplySocket();
        worker.Connect(new IPEndPoint(IPAddress.Loopback, ports + 7));
        await using var client = new RequestSocket();
        client.Connect(new IPEndPoint(IPAddress.Loopback, ports + 6));
        var answer = client.RequestAsync(ZmtpMessage.Of("client", "LIST"));
        (await worker.ReceiveAsync()).Reply(ZmtpMessage.Of("done"));
        (await answer).ToString().Should().Be("done");
        await RawPeer.RefusedAsync(ports);
    }

    [Test]
    public async Task ListenerOfTasksRenamed_BeginsWhenTheFormerHasEnded()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Tasks(_port, _other));
        using var worker = await LinePeer.ConnectAsync(_other);
        using var client = await LinePeer.ConnectAsync(_port);
        var task = await GiveTaskAsync(client, worker);

        await node.ApplyAsync(Tasks(_port, _other, "renamed"));
        using var later = await LinePeer.ConnectAsync(_port);
        await later.SendAsync("TASK|b|2");
        await worker.SendAsync($"TASK_RESULT|{task}|done");

        (await client.ReadAsync(2)).Should().Equal("RESULT|a|done", null);
        (await worker.ReadAsync()).Should().BeNull("it is to register anew");
        using var again = await LinePeer.ConnectAsync(_other);
        await again.SendAsync("REGISTER|w|1");
        (await again.ReadAsync()).Should().NotBeNull();
        await again.SendAsync($"TASK_RESULT|{await again.ReadTaskAsync()}|too");
        (await later.ReadAsync()).Should().Be("RESULT|b|too");
        await node.Log.SaysAsync("'jobs' was removed or replaced: it has ended");
        await node.Log.SaysAsync("'renamed' listens on");
        var log = node.Log.Lines.ToList();
        log.FindIndex(line => line.Contains("'renamed' listens on", StringComparison.Ordinal)).Should().BeGreaterThan(
            log.FindIndex(line => line.Contains("'jobs' was removed or replaced: it has ended", StringComparison.Ordinal)),
            "they would take each other's workers");
    }

    [Test]
    public async Task BrokerOfAnotherPool_TakesThePortsWhenTheFormerHasEnded()
    {
        var ports = ReservedPorts.Next(6);
        await using var node = await ConfiguredNode.StartRawAsync(Broker(ports));

        await node.ApplyAsync(Broker(ports, "another"));

        await Eventually.BeTrueAsync(() => node.Listener.Address == $"tcp://127.0.0.1:{ports}", "it serves there");
        await using var worker = new ReplySocket();
        worker.Connect(new IPEndPoint(IPAddress.Loopback, ports + 1));
        await Eventually.BeTrueAsync(() => !node.FindPool("another")!.Snapshot.Members.IsEmpty, "a worker joins the new pool");
    }

    [Test]
    public async Task TasksListenerMustStillFinish_StopDoesNotWaitForTheNextReload()
    {
        await using var node = await ConfiguredNode.StartRawAsync(Tasks(_port, _other));
        using var worker = await LinePeer.ConnectAsync(_other);
        using var client = await LinePeer.ConnectAsync(_port);
        var task = await GiveTaskAsync(client, worker);
        var ports = ReservedPorts.Next(4);
        await node.ApplyAsync(Tasks(ports, ports + 1));

        var next = node.ApplyAsync(Tasks(ports + 2, ports + 3));
        var stop = node.StopAsync();

        (await FluentActions.Awaiting(() => next).Should().ThrowAsync<LoadBalancer.Diagnostics.StartException>())
            .WithMessage("the load balancer is stopping");
        await worker.SendAsync($"TASK_RESULT|{task}|done");
        (await client.ReadAsync()).Should().Be("RESULT|a|done");
        await stop;
        node.Log.Lines.Should().NotContain(line => line.Contains($"listens on tcp://127.0.0.1:{ports}", StringComparison.Ordinal));
    }

    // The id of the task that the worker has then.
    private static async Task<string> GiveTaskAsync(LinePeer client, LinePeer worker)
    {
        await worker.SendAsync("REGISTER|w|1");
        await worker.ReadAsync();
        await client.SendAsync("TASK|a|1");
        return await worker.ReadTaskAsync();
    }

    private static async Task<LinePeer> ConnectedAsync(int port)
    {
        LinePeer? peer = null;
        await Eventually.BeTrueAsync(
            async () =>
            {
                try
                {
                    peer = await LinePeer.ConnectAsync(port);
                    return true;
                }
                catch (SocketException)
                {
                    return false;
                }
            },
            "it listens");
        return peer!;
    }

    private static string Broker(int first, string pool = "store") => $$"""
        { "LoadBalancer": {
            "Listeners": { "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "{{pool}}",
                "Ports": {{StorePorts.JsonFrom(first)}} } },
            "Pools": { "{{pool}}": {} } } }
        """;

    private static string Tasks(int clients, int workers, string name = "jobs") => $$"""
        { "LoadBalancer": {
            "Listeners": { "{{name}}": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:{{clients}}",
                "WorkerAddress": "tcp://127.0.0.1:{{workers}}", "Pool": "jobs" } },
            "Pools": { "jobs": {} } } }
        """;
}
