using System.Net;
using System.Text;
using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>Tasks, ZeroMQ requests and heartbeats while another process takes over.</summary>
[Platform("Linux")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class TasksAndBrokerUpgradeTests : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly string _file;
    private readonly int _clients = ReservedPorts.Next();
    private readonly int _workers = ReservedPorts.Next();
    private readonly int _broker = ReservedPorts.Next(6);
    private readonly int _management = ReservedPorts.Next();
    private Upgrades _balancer = null!;

    public TasksAndBrokerUpgradeTests()
    {
        _file = _directory.File("loadbalancer.json");
        File.WriteAllText(_file, $$"""
            { "LoadBalancer": {
                "Listeners": {
                    "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:{{_clients}}",
                        "WorkerAddress": "tcp://127.0.0.1:{{_workers}}", "Pool": "tasks" },
                    "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store", "PublishInterval": "00:00:00.1",
                        "PeerTimeout": "00:00:01", "AlternativeAddress": "127.0.0.2",
                        "Ports": {{StorePorts.JsonFrom(_broker)}} } },
                "Pools": { "tasks": {}, "store": {} },
                "Management": { "Address": "http://127.0.0.1:{{_management}}" } } }
            """);
    }

    [SetUp]
    public async Task SetUpAsync() => _balancer = await Upgrades.StartAsync(_file, _management);

    [Test]
    public async Task Upgrade_TasksWaitAndRun_AllGetTheirResults()
    {
        using var worker = await RegisterAsync();
        using var client = await LinePeer.ConnectAsync(_clients);
        await client.SendAsync("TASK|a|1", "TASK|b|2");
        (await worker.ReadAsync()).Should().Be("ASSIGN_TASK|a|1");

        await _balancer.UpgradeAsync();
        using var other = await LinePeer.ConnectAsync(_clients);
        await other.SendAsync("TASK|c|3");
        await Eventually.BeTrueAsync(
            () => _balancer.First.Output.Any(line => line.Contains("stopping: ", StringComparison.Ordinal)), "the second is over");
        await client.SendAsync("TASK|late|4");
        (await client.ReadAsync()).Should().Be("ERROR|restarting");
        await worker.SendAsync("TASK_RESULT|a|x");
        (await client.ReadAsync()).Should().Be("RESULT|a|x");
        var next = await worker.ReadAsync();
        next.Should().Be("ASSIGN_TASK|b|2", "a task that waits in the old process is worked off");
        await worker.SendAsync("TASK_RESULT|b|y");
        (await client.ReadAsync()).Should().Be("RESULT|b|y");
        (await client.ReadAsync()).Should().BeNull("the client has all its results");
        (await worker.ReadAsync()).Should().BeNull("so that the worker registers again");
        client.Dispose();
        worker.Dispose();
        using var again = await RegisterAsync();

        (await again.ReadAsync()).Should().Be("ASSIGN_TASK|c|3");
        await again.SendAsync("TASK_RESULT|c|z");
        (await other.ReadAsync()).Should().Be("RESULT|c|z");
        (await _balancer.First.ExitAsync()).Should().Be(0);
    }

    [Test]
    public async Task Upgrade_RequestsOfZeroMqClients_AreAllAnswered()
    {
        await using var worker = new ReplySocket();
        worker.Connect(new IPEndPoint(IPAddress.Loopback, _broker + 1));
        using var stop = new CancellationTokenSource();
        using var stopWorking = new CancellationTokenSource();
        var working = AnswerAsync(worker, stopWorking.Token);
        var checks = 0;
        await using var health = new SubscribeSocket(ZmtpSocketType.Sub) { Received = (_, _) => Interlocked.Increment(ref checks) };
        health.Subscribe(PeerMessages.HealthCheckTopic);
        health.Connect(new IPEndPoint(IPAddress.Loopback, _broker + 2));
        var answered = 0;
        var asking = Task.Run(async () =>
        {
            while (!stop.IsCancellationRequested)
            {
                // A client for each request: what one that is idle sends in the moment in which its connection ends is lost.
                await using var client = new RequestSocket { Identity = Encoding.UTF8.GetBytes($"c{answered}") };
                client.Connect(new IPEndPoint(IPAddress.Loopback, _broker));
                (await client.RequestAsync(ZmtpMessage.Of("c", "PING"))).ToString().Should().Be("PONG");
                Interlocked.Increment(ref answered);
            }
        });
        await Eventually.BeTrueAsync(() => answered > 20 || asking.IsCompleted, "requests are answered");

        await _balancer.UpgradeAsync();
        (await _balancer.First.ExitAsync()).Should().Be(0);

        var before = answered;
        await Eventually.BeTrueAsync(() => answered > before + 20 || asking.IsCompleted, "requests are answered by the new process");
        var seen = checks;
        await Eventually.BeTrueAsync(() => checks > seen, "HCHECK goes on");
        await stop.CancelAsync();
        await asking;
        await stopWorking.CancelAsync();
        await working.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    [Test]
    public async Task Upgrade_PeersOfLibzmq_ConnectAgainByThemselves()
    {
        await using var worker = PythonZmq.Start("""
            s = socket(zmq.REP, sys.argv[1])
            s.rcvtimeo = -1
            while True:
                s.recv_multipart()
                s.send(b"PONG")
            """, $"tcp://127.0.0.1:{_broker + 1}");
        await using var client = PythonZmq.Start("""
            def connect():
                s = socket(zmq.REQ, sys.argv[1], IDENTITY=b"c")
                s.rcvtimeo = 5000
                return s
            s = connect()
            for i in range(1, 150):
                answer = None
                while answer is None:
                    s.send_multipart([b"c", b"BUY %d" % i])
                    try:
                        answer = s.recv()
                    except zmq.Again: # What is sent in the moment in which a connection ends is lost.
                        s.close(0)
                        s = connect()
                assert answer == b"PONG", answer
                if i == 20: say("begun")
                time.sleep(0.01)
            say("done")
            """, $"tcp://127.0.0.1:{_broker}");
        (await client.ReadLineAsync()).Should().Be("begun");

        await _balancer.UpgradeAsync();

        (await client.ReadToEndAsync()).Should().Equal("done");
        (await _balancer.First.ExitAsync()).Should().Be(0);
    }

    [Test]
    public async Task Upgrade_AlternativeWatches_DoesNotTakeOver()
    {
        await using var alternative = await BrokerNode.StartAsync(options => options with
        {
            Address = TestNode.Parse("tcp://127.0.0.2"),
            Role = BrokerRole.Alternative,
            MainAddress = IPAddress.Loopback,
            PublishInterval = TimeSpan.FromMilliseconds(100),
            PeerTimeout = TimeSpan.FromSeconds(1),
            Ports = StorePorts.From(_broker),
        });
        await Eventually.BeTrueAsync(() => alternative.Status.HealthCheckAge is not null, "the main is heard");

        await _balancer.UpgradeAsync();
        (await _balancer.First.ExitAsync()).Should().Be(0);

        await Eventually.BeTrueAsync(
            () => alternative.Status.HealthCheckAge < TimeSpan.FromMilliseconds(200), "the new main is heard, over a new connection");
        (alternative.IsMain, alternative.Status.TakeOvers).Should().Be((false, 0));
        alternative.Log.Lines.Should().NotContain(line => line.Contains("asks 127.0.0.1", StringComparison.Ordinal));
        _balancer.First.Output.Where(line => line.Contains("asks 127.0.0.2", StringComparison.Ordinal))
            .Should().ContainSingle("only the first process had to ask");
    }

    public async ValueTask DisposeAsync()
    {
        await _balancer.DisposeAsync();
        _directory.Dispose();
    }

    private async Task<LinePeer> RegisterAsync()
    {
        var worker = await LinePeer.ConnectAsync(_workers);
        await worker.SendAsync("REGISTER|w");
        (await worker.ReadAsync()).Should().Be("ACK|w");
        return worker;
    }

    private static async Task AnswerAsync(ReplySocket worker, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            (await worker.ReceiveAsync(stop)).Reply(ZmtpMessage.Of("PONG"));
        }
    }
}
