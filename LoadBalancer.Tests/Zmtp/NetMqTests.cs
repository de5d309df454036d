using System.Collections.Concurrent;
using System.Net;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

using Theirs = NetMQ.Sockets;

namespace LoadBalancer.Tests.Zmtp;

/// <summary>
/// Each of our sockets with the one of NetMQ that it is made for: a peer that shares no code with libzmq, and needs no other program.
/// </summary>
internal sealed class NetMqTests
{
    private static readonly IPEndPoint Any = new(IPAddress.Loopback, 0);

    [Test]
    public async Task Router_ReqWithIdentity_IsKnownByItAndAnswered()
    {
        var identities = new ConcurrentQueue<string>();
        await using var router = new PeerSocket(ZmtpSocketType.Router)
        {
            Connected = peer => identities.Enqueue(peer.ToString()),
            Received = (peer, message) =>
                peer.Send(message.TryOpen(out var envelope, out var body) ? envelope : default, ZmtpMessage.Of($"{body.Text(1)}!")),
        };
        var address = router.Bind(Any);
        await using (var client = new NetMqPeer(new Theirs.RequestSocket(), $"tcp://{address}", "uuid-1"))
        {
            for (var i = 0; i < 200; i++)
            {
                (await client.AskAsync($"uuid-1|QUERY {i}")).Should().Be($"QUERY {i}!");
            }
        }

        identities.Should().ContainSingle().Which.Should().StartWith("'uuid-1' at 127.0.0.1:");
        await Eventually.BeTrueAsync(() => router.Find("uuid-1"u8) is null, "it has gone");
    }

    [Test]
    public async Task Dealer_RepWorkers_AreChosenOneByOne()
    {
        var workers = new ConcurrentQueue<ZmtpPeer>();
        var answers = new ConcurrentQueue<string>();
        await using var dealer =
            new PeerSocket(ZmtpSocketType.Dealer)
            {
                Connected = workers.Enqueue,
                Received = (_, message) => answers.Enqueue(message.ToString())
            };
        var address = dealer.Bind(Any);
        await using var first = Worker("first");
        await Eventually.BeTrueAsync(() => workers.Count == 1, "the first worker connects");
        await using var second = Worker("second");
        await Eventually.BeTrueAsync(() => workers.Count == 2, "the second worker connects");

        foreach (var (worker, text) in workers.Reverse().Zip(["one", "two"]))
        {
            worker.Send(ZmtpEnvelope.Empty, ZmtpMessage.Of("uuid", text)).Should().BeTrue();
            await Eventually.BeTrueAsync(() => answers.Any(answer => answer.EndsWith(text, StringComparison.Ordinal)), "it answers");
        }

        answers.Should().Equal("|second|uuid|one", "|first|uuid|two");

        NetMqPeer Worker(string name)
        {
            var worker = new NetMqPeer(new Theirs.ResponseSocket(), $"tcp://{address}");
            worker.Answer(message => $"{name}|{message}");
            return worker;
        }
    }

    [Test]
    public async Task Rep_ReqOfNetMq_IsAnswered()
    {
        await using var rep = new ReplySocket();
        var address = rep.Bind(Any);
        await using var req = new NetMqPeer(new Theirs.RequestSocket(), $"tcp://{address}");
        var answer = req.AskAsync("one|two");

        var request = await rep.ReceiveAsync();
        request.Message.ToString().Should().Be("one|two");
        request.Reply(ZmtpMessage.Of(new string('x', 100_000)));

        (await answer).Should().HaveLength(100_000);
    }

    [Test]
    public async Task Req_RepOfNetMq_AnswersIt()
    {
        await using var req = new RequestSocket();
        var address = req.Bind(Any);
        await using var rep = new NetMqPeer(new Theirs.ResponseSocket(), $"tcp://{address}");
        rep.Answer(message => message + "|answer");

        (await req.RequestAsync(ZmtpMessage.Of("x"))).ToString().Should().Be("x|answer");
    }

    [Test]
    public async Task Pub_SubOfNetMq_ReceivesWhatItSubscribedTo()
    {
        await using var pub = new PublishSocket();
        var address = pub.Bind(Any);
        var socket = new Theirs.SubscriberSocket();
        socket.Subscribe("HCHECK");
        await using var sub = new NetMqPeer(socket, $"tcp://{address}");

        await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of("HCHECK NOALT", "second")) > 0, "it has subscribed");
        pub.Publish(ZmtpMessage.Of("hcheck")).Should().Be(0);

        (await sub.ReceiveAsync()).Should().Be("HCHECK NOALT|second");
        socket.Unsubscribe("HCHECK");
        await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of("HCHECK NOALT")) == 0, "the cancellation has come");
    }

    [Test]
    public async Task Sub_PubOfNetMq_SendsWhatWeSubscribedTo()
    {
        await using var sub = new SubscribeSocket();
        sub.Subscribe("ALTPING");
        var address = sub.Bind(Any);
        await using var pub = new NetMqPeer(new Theirs.PublisherSocket(), $"tcp://{address}");
        var heard = sub.ReceiveAsync();

        await Eventually.BeTrueAsync(
            () =>
            {
                pub.Send("OTHER");
                pub.Send("ALTPING 10.0.0.2");
                return heard.IsCompleted;
            },
            "our subscription has come");

        (await heard).ToString().Should().Be("ALTPING 10.0.0.2");
    }
}
