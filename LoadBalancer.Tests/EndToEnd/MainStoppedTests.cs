using System.Net;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>The process that is the main of a broker does nothing for longer than its lease, and then goes on.</summary>
[Platform("Linux")]
[Category("Program")]
[Category("Long")]
[Explicit("takes long; .ci/run runs it")]
internal sealed class MainStoppedTests
{
    [Test]
    public async Task Main_IsStoppedForLongerThanItsLease_AnswersNothingMoreWhenItGoesOn()
    {
        using var directory = new TemporaryDirectory();
        await using var etcd = await EtcdServer.StartAsync();
        const string pools = """{ "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } }, "store": {} }""";
        await using var a = new ChaosNode("a", etcd, directory, pools, null);
        await using var b = new ChaosNode("b", etcd, directory, pools, null);
        await a.StartAsync();
        await Eventually.BeTrueAsync(() => a.BecameMain.Any(), "the first node is the main");
        await b.StartAsync();
        await using var worker = new ReplySocket();
        worker.Connect(new IPEndPoint(IPAddress.Loopback, a.Broker + 1));
        await using var other = Client(a, "other");
        var first = other.RequestAsync(ZmtpMessage.Of("other", "PING"));
        (await worker.ReceiveAsync()).Reply(ZmtpMessage.Of("PONG"));
        (await first).ToString().Should().Be("PONG");
        await using var client = Client(a, "client");
        var answer = client.RequestAsync(ZmtpMessage.Of("client", "PING"));
        var request = await worker.ReceiveAsync();

        a.Stop();
        var stopped = TimeProvider.System.GetUtcNow();
        request.Reply(ZmtpMessage.Of("PONG")); // Both wait in the sockets of the process.
        var next = other.RequestAsync(ZmtpMessage.Of("other", "PING"));
        await Eventually.BeTrueAsync(() => b.BecameMain.Any(), "the other node is the main");
        await TestContext.Out.WriteLineAsync($"the other node was the main after {b.BecameMain.First() - stopped}");
        a.Continue();
        await Eventually.BeTrueAsync(() => a.StoodBy == 2, "the first node is the main no more");

        await FluentActions.Awaiting(() => answer).Should().ThrowAsync<SocketException>("an answer could be of another time");
        await FluentActions.Awaiting(() => next).Should().ThrowAsync<SocketException>();
        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        await FluentActions.Awaiting(() => worker.ReceiveAsync(soon.Token).AsTask()).Should().ThrowAsync<OperationCanceledException>();
        await using var moved = Client(b, "client");
        await using var there = new ReplySocket();
        there.Connect(new IPEndPoint(IPAddress.Loopback, b.Broker + 1));
        var again = moved.RequestAsync(ZmtpMessage.Of("client", "PING"));
        (await there.ReceiveAsync()).Reply(ZmtpMessage.Of("PONG"));
        (await again).ToString().Should().Be("PONG");
    }

    private static RequestSocket Client(ChaosNode node, string id)
    {
        var client = new RequestSocket { Identity = Encoding.UTF8.GetBytes(id) };
        client.Connect(new IPEndPoint(IPAddress.Loopback, node.Broker));
        return client;
    }
}
