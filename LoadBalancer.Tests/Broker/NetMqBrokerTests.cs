using LoadBalancer.Tests.Support;
using NetMQ.Sockets;

namespace LoadBalancer.Tests.Broker;

/// <summary>The whole broker with clients and workers that use NetMQ.</summary>
internal sealed class NetMqBrokerTests
{
    [Test]
    public async Task Clients_TwoWorkers_EachGetsItsOwnAnswers()
    {
        await using var node = await BrokerNode.StartAsync();
        await using var a = await StartWorkerAsync(node, "a");
        await using var b = await StartWorkerAsync(node, "b");

        await Task.WhenAll(Enumerable.Range(0, 4).Select(async i =>
        {
            await using var client = Client(node, $"client-{i}");
            for (var j = 0; j < 100; j++)
            {
                (await client.AskAsync($"client-{i}|QUERY {j} of {i}")).Should().MatchRegex($"^(a|b): QUERY {j} of {i}$");
            }
        }));

        node.Pool.Snapshot.Members.Select(member => member.Requests).Should().OnlyContain(requests => requests > 0).And.Subject.Sum()
            .Should().Be(400);
        node.Status.Refused.Should().BeEmpty();
    }

    [Test]
    public async Task Worker_Goes_ItsRequestGoesToAnother()
    {
        await using var node = await BrokerNode.StartAsync();
        await using var client = Client(node, "uuid");
        await using (var silent = Worker(node))
        {
            await Eventually.BeTrueAsync(() => node.Status.Workers == 1, "the worker joins");
            client.Send("uuid|LIST");
            (await silent.ReceiveAsync()).Should().Be("uuid|LIST");
        }
        await Eventually.BeTrueAsync(() => node.Status.Workers == 0, "it is gone");
        await using var other = await StartWorkerAsync(node, "other");

        (await client.ReceiveAsync()).Should().Be("other: LIST");
    }

    [Test]
    public async Task Sign_OfAWorker_ReachesItsClientAlone()
    {
        await using var node = await BrokerNode.StartAsync();
        await using var worker = new NetMqPeer(new PublisherSocket(), $"tcp://127.0.0.1:{node.Ports.WorkerCheckWorkers}");
        await using var client = Subscriber(node.Ports.WorkerCheckClients, "uuid-1");
        await using var other = Subscriber(node.Ports.WorkerCheckClients, "uuid-2");

        string? sign = null;
        await Eventually.BeTrueAsync(
            () =>
            {
                worker.Send("uuid-1 OK");
                return (sign = client.TryReceive(TimeSpan.FromMilliseconds(10))) is not null;
            },
            "the subscription has come all the way");

        sign.Should().Be("uuid-1 OK");
        other.TryReceive(TimeSpan.FromMilliseconds(100)).Should().BeNull();
    }

    [Test]
    public async Task Hcheck_AndAltping_AreHeard()
    {
        await using var node = await BrokerNode.StartAsync(options => options with { PublishInterval = TimeSpan.FromMilliseconds(20) });
        await using var health = Subscriber(node.Ports.HealthCheck, "HCHECK");
        (await health.ReceiveAsync()).Should().Be("HCHECK NOALT");

        await using var alternative = new NetMqPeer(new PublisherSocket(), $"tcp://127.0.0.1:{node.Ports.AlternativePing}");
        await Eventually.BeTrueAsync(
            async () =>
            {
                alternative.Send("ALTPING 127.0.0.9");
                return await health.ReceiveAsync() == "HCHECK 127.0.0.9";
            },
            "the main knows its alternative");
    }

    private static NetMqPeer Client(BrokerNode node, string id) => new(new RequestSocket(), $"tcp://127.0.0.1:{node.Ports.Clients}", id);

    private static NetMqPeer Worker(BrokerNode node) => new(new ResponseSocket(), $"tcp://127.0.0.1:{node.Ports.Workers}");

    private static NetMqPeer Subscriber(int port, string topic)
    {
        var socket = new SubscriberSocket();
        socket.Subscribe(topic);
        return new NetMqPeer(socket, $"tcp://127.0.0.1:{port}");
    }

    private static async Task<NetMqPeer> StartWorkerAsync(BrokerNode node, string name)
    {
        var before = node.Status.Workers;
        var worker = Worker(node);
        worker.Answer(message => $"{name}: {message.Split('|')[1]}");
        await Eventually.BeTrueAsync(() => node.Status.Workers > before, "the worker joins");
        return worker;
    }
}
