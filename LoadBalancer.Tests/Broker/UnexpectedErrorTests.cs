using System.Net;
using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Zmtp;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Broker;

/// <summary>An unexpected error in a broker affects only the operation in which it occurs.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class UnexpectedErrorTests : IDisposable
{
    private static readonly BrokerListenerOptions Options = new()
    {
        Address = TestNode.Parse("tcp://127.0.0.2"),
        Role = BrokerRole.Alternative,
        MainAddress = IPAddress.Loopback,
        PublishInterval = TimeSpan.FromMilliseconds(60),
        PeerTimeout = TimeSpan.FromMilliseconds(300),
    };

    private readonly LogRecorder _recorder = new();
    private readonly LoggerFactory _loggers = new();
    private readonly BrokerLog _log;
    private readonly Rejections _rejections;
    private int _errors; // how many are still to come

    public UnexpectedErrorTests()
    {
        _loggers.AddProvider(_recorder);
        _log = new BrokerLog("store", TimeProvider.System, _loggers.CreateLogger<BrokerLog>());
        _rejections = new Rejections(_log);
    }

    public void Dispose()
    {
        _loggers.Dispose();
        _recorder.Dispose();
    }

    [Test]
    public async Task TakeOver_FailsUnexpectedly_IsLoggedAndTriedAgain()
    {
        var pool = new BackendPool("store", new FaultyPolicy(() => false), []);
        await using var main = new PublishSocket();
        var ports = new BrokerPorts
        {
            HealthCheck = main.Bind(new IPEndPoint(IPAddress.Loopback, 0)).Port,
            Clients = 0,
            Workers = 0,
            AlternativePing = 0,
            WorkerCheckClients = 0,
            WorkerCheckWorkers = 0,
        };
        var options = Options with { Ports = ports };
        await using var alternative = new RoleKeeper(
            options,
            () => _errors-- > 0 ? throw new NotSupportedException("it broke") : new ServingBroker(
                "store", options, pool, _log, _rejections, new ErrorStatistics(TimeProvider.System), new ListenSockets(),
                TimeProvider.System),
            _log,
            TimeProvider.System);
        await alternative.StartAsync();
        await Eventually.BeTrueAsync(
            () => main.Publish(PeerMessages.HealthCheck(null)) >= 0 && alternative.State == BrokerState.Watching, "the main is heard");

        _errors = 2;
        await main.DisposeAsync();

        await Eventually.BeTrueAsync(() => alternative.State == BrokerState.Serving, "it takes over at last");
        _recorder.Lines.Where(line => line.StartsWith("Error: listener 'store'", StringComparison.Ordinal)
            && line.Contains("it broke", StringComparison.Ordinal)).Should().HaveCount(2);
    }

    [Test]
    public async Task Start_FailsUnexpectedly_IsReported()
    {
        _errors = 1;
        await using var main = new RoleKeeper(
            Options with { Role = BrokerRole.Main, MainAddress = null }, () =>
                throw new NotSupportedException("it broke"), _log, TimeProvider.System);

        await FluentActions.Awaiting(() => main.StartAsync()).Should().ThrowAsync<NotSupportedException>();
    }

    [Test]
    public async Task Dispatch_FailsUnexpectedly_NextOneGivesOutWhatWaits()
    {
        var pool = new BackendPool("store", new FaultyPolicy(() => _errors-- > 0), []);
        await using var broker = new RequestBroker(
            "store", pool, 10, _log, _rejections, new ZmtpLimits(), new ErrorStatistics(TimeProvider.System), TimeProvider.System);
        await using var client = new RequestSocket();
        client.Connect(broker.Clients.Bind(new IPEndPoint(IPAddress.Loopback, 0)));
        var answer = client.RequestAsync(ZmtpMessage.Of("client", "PING"));
        await Eventually.BeTrueAsync(() => broker.WaitingCount == 1, "it waits for a worker");

        _errors = 1;
        await using var worker = new ReplySocket();
        worker.Connect(broker.Workers.Bind(new IPEndPoint(IPAddress.Loopback, 0)));

        await Eventually.BeTrueAsync(() => _errors < 0, "the worker is lost by the error, comes back and is chosen");
        (await worker.ReceiveAsync()).Reply(ZmtpMessage.Of("PONG"));
        (await answer).ToString().Should().Be("PONG");
    }
}
