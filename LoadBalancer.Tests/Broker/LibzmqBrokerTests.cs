using LoadBalancer.Tests.EndToEnd;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Broker;

/// <summary>The whole broker with peers that have libzmq in them, and the peers of the sample with a broker of libzmq's.</summary>
internal sealed class LibzmqBrokerTests
{
    private const string Worker = """
        s = socket(zmq.REP, sys.argv[1])
        signs = socket(zmq.PUB, sys.argv[2])
        s.rcvtimeo = -1
        say("ready")
        while True:
            uuid, command = s.recv_multipart()
            if command.startswith(b"SLOW"):
                for _ in range(10):
                    signs.send(uuid + b" OK")
                    time.sleep(0.02)
            if command == b"HANG": time.sleep(1000)
            s.send(sys.argv[3].encode() + b": " + command)

        """;

    private const string Client = """
        uuid = sys.argv[1].encode()
        s = socket(zmq.REQ, sys.argv[2], IDENTITY=uuid)
        def ask(command):
            s.send_multipart([uuid, command])
            frames = s.recv_multipart()
            assert len(frames) == 1, frames
            return frames[0].decode()

        """;

    [Test]
    public async Task Clients_ThreeWorkers_TakeTurnsAndEachGetsItsOwnAnswers()
    {
        await using var node = await BrokerNode.StartAsync();
        await using var a = await StartWorkerAsync(node, "a");
        await using var b = await StartWorkerAsync(node, "b");
        await using var c = await StartWorkerAsync(node, "c");
        await Eventually.BeTrueAsync(() => node.Status.Workers == 3, "the workers join");
        await using var alone = StartClient(node, "alone", """say(ask(b"PING")[0] + ask(b"PING")[0] + ask(b"PING")[0])""");
        (await alone.ReadToEndAsync()).Single().Should().BeEquivalentTo("abc").And.Subject.Order().Should().Equal('a', 'b', 'c');

        var clients = Enumerable.Range(0, 4).Select(i => StartClient(node, $"client-{i}", """
            for i in range(200):
                command = b"QUERY %d of %s" % (i, uuid)
                assert ask(command).endswith(": " + command.decode())
            say("done")
            """)).ToList();
        foreach (var client in clients)
        {
            await using (client)
            {
                (await client.ReadToEndAsync()).Should().Equal("done");
            }
        }

        node.Pool.Snapshot.Members.Sum(member => member.Requests).Should().Be(803);
    }

    [Test]
    public async Task Client_WorkerIsAtItsRequest_HearsSoAndNobodyElseDoes()
    {
        await using var node = await BrokerNode.StartAsync();
        await using var worker = await StartWorkerAsync(node, "a");
        await using var client = StartClient(node, "uuid-1", """
            mine = socket(zmq.SUB, sys.argv[3], SUBSCRIBE=uuid)
            other = socket(zmq.SUB, sys.argv[3], SUBSCRIBE=b"uuid-2")
            while True:
                answer = ask(b"SLOW")
                if mine.poll(20): break # else its subscription was not there yet
            say(answer)
            say(mine.recv_multipart())
            say(other.poll(100))
            """);

        (await client.ReadToEndAsync()).Should().Equal("a: SLOW", "[b'uuid-1 OK']", "0");
    }

    [Test]
    public async Task Worker_IsKilledAtARequest_AnotherAnswersIt()
    {
        await using var node = await BrokerNode.StartAsync();
        await using var victim = await StartWorkerAsync(node, "victim");
        await Eventually.BeTrueAsync(() => node.Status.Workers == 1, "the worker joins");
        await using var client = StartClient(node, "uuid", """
            s.send_multipart([uuid, b"LIST"])
            say("asked")
            say(s.recv_multipart())
            """);
        await using var blocker = StartClient(node, "blocker", """s.send_multipart([uuid, b"HANG"]); say("asked"); time.sleep(1000)""");
        (await blocker.ReadLineAsync()).Should().Be("asked");
        (await client.ReadLineAsync()).Should().Be("asked");
        await Eventually.BeTrueAsync(
            () => node.Pool.WaitingCount <= 1 && node.Pool.Snapshot.Members[0].InFlight == 1, "the worker is at something");

        victim.Kill();
        await Eventually.BeTrueAsync(() => node.Status.Workers == 0, "it is gone");
        await using var other = await StartWorkerAsync(node, "other");

        (await client.ReadLineAsync()).Should().BeOneOf("[b'other: LIST']", "[b'victim: LIST']");
    }

    [Test]
    public async Task Hcheck_LibzmqSub_ComesInOneFrameEachInterval()
    {
        await using var node = await BrokerNode.StartAsync(
            options => options with { PublishInterval = TimeSpan.FromMilliseconds(100), PeerTimeout = TimeSpan.FromSeconds(1) });
        await using var listener = PythonZmq.Start(
            """
            health = socket(zmq.SUB, sys.argv[1], SUBSCRIBE=b"HCHECK")
            ping = socket(zmq.PUB, sys.argv[2])
            say(health.recv_multipart())
            for _ in range(20):
                ping.send(b"ALTPING 127.0.0.9")
                frames = health.recv_multipart()
                if frames != [b"HCHECK NOALT"]: break
            say(frames)
            for _ in range(30):
                frames = health.recv_multipart()
                if frames != [b"HCHECK 127.0.0.9"]: break
            say(frames)
            """, $"tcp://127.0.0.1:{node.Ports.HealthCheck}", $"tcp://127.0.0.1:{node.Ports.AlternativePing}");

        (await listener.ReadToEndAsync()).Should().Equal("[b'HCHECK NOALT']", "[b'HCHECK 127.0.0.9']", "[b'HCHECK NOALT']");
    }

    [Test]
    public async Task Sample_WithABrokerOfLibzmq_WorksAndAsks()
    {
        var offset = StorePorts.NextOffset();
        var folder = Directory.CreateTempSubdirectory("store").FullName;
        await using var broker = PythonZmq.Start(
            """
            offset = int(sys.argv[1])
            def bound(kind, port): return socket(kind, "tcp://127.0.0.1:%d" % (port + offset), bind=True)
            clients, workers, health = bound(zmq.ROUTER, 5550), bound(zmq.DEALER, 5560), bound(zmq.PUB, 5570)
            check, signs = bound(zmq.XPUB, 5572), bound(zmq.XSUB, 5573)
            poller = zmq.Poller()
            for s in (clients, workers, check, signs): poller.register(s, zmq.POLLIN)
            seen = set()
            say("ready")
            last = 0
            while True:
                for s, _ in poller.poll(100):
                    frames = s.recv_multipart()
                    if s is clients: assert len(frames) == 4 and frames[0] == frames[2], frames
                    if s is signs: seen.add(frames[0].split(b" ")[1]); len(seen) == 1 and seen.add(0) is None and say(seen - {0})
                    {clients: workers, workers: clients, check: signs, signs: check}[s].send_multipart(frames)
                if time.time() - last > 0.2:
                    health.send(b"HCHECK NOALT")
                    last = time.time()
            """, offset);
        (await broker.ReadLineAsync()).Should().Be("ready");

        await using (ProgramUnderTest.Start(
            "samples/store/StoreWorker", "--port-offset", $"{offset}", "--database", Path.Combine(folder, "store.db"), "--work", "0.01"))
        {
            var (exitCode, output, errors) =
                await ProgramUnderTest.RunAsync("samples/store/StoreClient", "--port-offset", $"{offset}", "--test", "50");

            exitCode.Should().Be(0, output + errors);
            output.Should().StartWith("50 answers").And.Contain("0 wrong, 0 given up");
            (await broker.ReadLineAsync()).Should().Be("{b'OK'}");
        }
        Directory.Delete(folder, recursive: true);
    }

    private static async Task<PythonZmq> StartWorkerAsync(BrokerNode node, string name)
    {
        var worker = PythonZmq.Start(
            Worker, $"tcp://127.0.0.1:{node.Ports.Workers}", $"tcp://127.0.0.1:{node.Ports.WorkerCheckWorkers}", name);
        (await worker.ReadLineAsync()).Should().Be("ready");
        return worker;
    }

    private static PythonZmq StartClient(BrokerNode node, string id, string script) =>
        PythonZmq.Start(Client + script, id, $"tcp://127.0.0.1:{node.Ports.Clients}", $"tcp://127.0.0.1:{node.Ports.WorkerCheckClients}");
}
