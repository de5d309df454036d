using System.Collections.Concurrent;
using System.Net;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Zmtp;

/// <summary>Each of our sockets with the ones of libzmq that it is made for, either of them listening.</summary>
internal sealed class LibzmqTests
{
    private static readonly IPEndPoint Any = new(IPAddress.Loopback, 0);

    [Test]
    public async Task Router_LibzmqReqWithIdentity_IsKnownByItAndAnswered()
    {
        var identities = new ConcurrentQueue<string>();
        await using var router = new PeerSocket(ZmtpSocketType.Router)
        {
            Connected = peer => identities.Enqueue(peer.ToString()),
            Received = (peer, message) =>
                peer.Send(message.TryOpen(out var envelope, out var body) ? envelope : default, ZmtpMessage.Of($"{body.Text(1)}!")),
        };
        var address = router.Bind(Any);
        await using var client = PythonZmq.Start(
            """
            s = socket(zmq.REQ, sys.argv[1], IDENTITY=b"uuid-1")
            for i in range(1000):
                s.send_multipart([b"uuid-1", b"QUERY %d" % i])
                assert s.recv_multipart() == [b"QUERY %d!" % i]
            say("done")
            """, $"tcp://{address}");

        (await client.ReadToEndAsync()).Should().Equal("done");
        identities.Should().ContainSingle().Which.Should().StartWith("'uuid-1' at 127.0.0.1:");
        router.Find("uuid-1"u8).Should().BeNull("it has gone");
    }

    [Test]
    public async Task Dealer_LibzmqRepWorkers_AreChosenOneByOne()
    {
        var workers = new ConcurrentQueue<ZmtpPeer>();
        var answers = new ConcurrentQueue<string>();
        await using var dealer = new PeerSocket(ZmtpSocketType.Dealer)
        {
            Connected = workers.Enqueue,
            Received = (_, message) => answers.Enqueue(message.ToString()),
        };
        var address = dealer.Bind(Any);
        const string Script =
            """
            s = socket(zmq.REP, sys.argv[1])
            while True:
                frames = s.recv_multipart()
                s.send_multipart([sys.argv[2].encode()] + frames)
            """;
        await using var first = PythonZmq.Start(Script, $"tcp://{address}", "first");
        await Eventually.BeTrueAsync(() => workers.Count == 1, "the first worker connects");
        await using var second = PythonZmq.Start(Script, $"tcp://{address}", "second");
        await Eventually.BeTrueAsync(() => workers.Count == 2, "the second worker connects");

        foreach (var (worker, text) in workers.Reverse().Zip(["one", "two"]))
        {
            worker.Send(ZmtpEnvelope.Empty, ZmtpMessage.Of("uuid", text)).Should().BeTrue();
            await Eventually.BeTrueAsync(() => answers.Any(answer => answer.EndsWith(text, StringComparison.Ordinal)), "it answers");
        }

        answers.Should().Equal("|second|uuid|one", "|first|uuid|two");
    }

    [Test]
    public async Task Pub_LibzmqSub_ReceivesWhatItSubscribedTo()
    {
        await using var pub = new PublishSocket();
        var address = pub.Bind(Any);
        await using var sub = PythonZmq.Start(
            """
            s = socket(zmq.SUB, sys.argv[1], SUBSCRIBE=b"HCHECK")
            say(s.recv_multipart())
            s.setsockopt(zmq.SUBSCRIBE, b"OTHER")
            while s.recv() != b"OTHER 2": pass
            s.setsockopt(zmq.UNSUBSCRIBE, b"OTHER")
            say("cancelled")
            """, $"tcp://{address}");

        await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of("HCHECK NOALT", "second")) > 0, "it has subscribed");
        (await sub.ReadLineAsync()).Should().Be("[b'HCHECK NOALT', b'second']");
        pub.Publish(ZmtpMessage.Of("hcheck")).Should().Be(0);
        await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of("OTHER 2")) > 0, "it has subscribed to something else too");
        (await sub.ReadLineAsync()).Should().Be("cancelled");
        await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of("OTHER 3")) == 0, "the cancellation has come");
    }

    [Test]
    public async Task Sub_LibzmqPub_SendsWhatWeSubscribedTo([Values] bool weListen)
    {
        var port = ReservedPorts.Next();
        await using var sub = new SubscribeSocket();
        sub.Subscribe("ALTPING");
        var address = new IPEndPoint(IPAddress.Loopback, port);
        if (weListen)
        {
            sub.Bind(address);
        }
        else
        {
            sub.Connect(address);
        }
        await using var pub = PythonZmq.Start(
            """
            s = socket(zmq.PUB, sys.argv[1], sys.argv[2] == "True")
            while True:
                s.send(b"OTHER"); s.send(b"ALTPING 10.0.0.2"); time.sleep(0.01)
            """, $"tcp://{address}", !weListen);

        (await sub.ReceiveAsync()).Text(0).Should().Be("ALTPING 10.0.0.2");
        (await sub.ReceiveAsync()).Text(0).Should().Be("ALTPING 10.0.0.2");
    }

    [Test]
    public async Task XPubAndXSub_BetweenLibzmqPubAndSub_PassSubscriptionsOneWayAndMessagesTheOther()
    {
        PublishSocket? publisher = null;
        await using var xsub = new SubscribeSocket(ZmtpSocketType.XSub) { Received = (_, message) => publisher!.Publish(message) };
        var changes = new ConcurrentQueue<string>();
        await using var xpub = new PublishSocket(ZmtpSocketType.XPub)
        {
            SubscriptionChanged = (prefix, isNew) =>
            {
                changes.Enqueue($"{(isNew ? '+' : '-')}{System.Text.Encoding.ASCII.GetString(prefix.Span)}");
                if (isNew)
                {
                    xsub.Subscribe(prefix.Span);
                }
                else
                {
                    xsub.Unsubscribe(prefix.Span);
                }
            },
        };
        publisher = xpub;
        var (clients, workers) = (xpub.Bind(Any), xsub.Bind(Any));
        await using var worker = PythonZmq.Start(
            """
            s = socket(zmq.PUB, sys.argv[1])
            while True:
                s.send(b"uuid-1 OK"); s.send(b"uuid-2 OK"); time.sleep(0.01)
            """, $"tcp://{workers}");
        await using var client = PythonZmq.Start(
            """
            s = socket(zmq.SUB, sys.argv[1], SUBSCRIBE=b"uuid-1")
            for _ in range(5): say(s.recv())
            """, $"tcp://{clients}");

        (await client.ReadToEndAsync()).Should().Equal(Enumerable.Repeat("b'uuid-1 OK'", 5));
        await Eventually.BeTrueAsync(() => changes.Count == 2, "the subscription ends with the client");
        changes.Should().Equal("+uuid-1", "-uuid-1");
    }

    [Test]
    public async Task Req_LibzmqRep_Answers()
    {
        await using var rep = PythonZmq.Start(
            """
            s = socket(zmq.REP, "tcp://127.0.0.1:*", True)
            say(s.getsockopt(zmq.LAST_ENDPOINT).decode().rsplit(":", 1)[1])
            while True: s.send_multipart(s.recv_multipart()[::-1])
            """);
        await using var req = new RequestSocket();
        req.Connect(new IPEndPoint(
            IPAddress.Loopback, int.Parse(await rep.ReadLineAsync(), System.Globalization.CultureInfo.InvariantCulture)));

        (await req.RequestAsync(ZmtpMessage.Of("a", "b"))).ToString().Should().Be("b|a");
        (await req.RequestAsync(ZmtpMessage.Of("", new string('x', 300)))).ToString().Should().Be(new string('x', 300) + "|");
    }

    [Test]
    public async Task Rep_LibzmqReqThroughItsProxy_IsAnswered()
    {
        await using var proxy = PythonZmq.Start(
            """
            import threading
            a = socket(zmq.ROUTER, "tcp://127.0.0.1:*", True)
            b = socket(zmq.DEALER, "tcp://127.0.0.1:*", True)
            say(a.getsockopt(zmq.LAST_ENDPOINT).decode())
            say(b.getsockopt(zmq.LAST_ENDPOINT).decode().rsplit(":", 1)[1])
            zmq.proxy(a, b)
            """);
        var clients = await proxy.ReadLineAsync();
        await using var rep = new ReplySocket();
        rep.Connect(new IPEndPoint(
            IPAddress.Loopback, int.Parse(await proxy.ReadLineAsync(), System.Globalization.CultureInfo.InvariantCulture)));
        await using var client = PythonZmq.Start(
            """
            s = socket(zmq.REQ, sys.argv[1])
            s.send(b"LIST")
            say(s.recv_multipart())
            """, clients);

        var request = await rep.ReceiveAsync();
        request.Message.ToString().Should().Be("LIST");
        request.Reply(ZmtpMessage.Of("two", "frames")).Should().BeTrue();

        (await client.ReadToEndAsync()).Should().Equal("[b'two', b'frames']");
    }

    [Test]
    public async Task Router_LibzmqPush_IsRefused()
    {
        await using var router = new PeerSocket(ZmtpSocketType.Router);
        var address = router.Bind(Any);
        await using var push = PythonZmq.Start("""s = socket(zmq.PUSH, sys.argv[1]); input()""", $"tcp://{address}");

        await Eventually.BeTrueAsync(() => router.Statistics.Faults(ZmtpFault.SocketType) > 0, "its type is wrong");
        router.Statistics.Handshakes.Should().Be(0);
    }

    [Test]
    public async Task Dealer_LibzmqThatSendsHeartbeats_StaysConnected()
    {
        var gone = 0;
        await using var dealer = new PeerSocket(ZmtpSocketType.Dealer) { Disconnected = _ => gone++ };
        var address = dealer.Bind(Any);
        await using var rep = PythonZmq.Start(
            """
            s = socket(zmq.REP, sys.argv[1], HEARTBEAT_IVL=20, HEARTBEAT_TIMEOUT=2000)
            time.sleep(3) # It would have given up by now.
            say("done")
            input()
            """, $"tcp://{address}");

        (await rep.ReadLineAsync()).Should().Be("done");
        gone.Should().Be(0);
        dealer.Statistics.Handshakes.Should().Be(1);
    }
}
