using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Broker;

/// <summary>In a cluster a lease decides which broker serves; a real etcd.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class MainLeaseTests : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private EtcdServer _etcd = null!;
    private BrokerNode _a = null!;
    private BrokerNode _b = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdServer.StartAsync();
        (_a, _b) = (await StartAsync("a"), await StartAsync("b"));
        await Eventually.BeTrueAsync(() => _a.IsMain || _b.IsMain, "one of them serves");
    }

    public async ValueTask DisposeAsync()
    {
        _directory.Dispose();
        if (_b is not null)
        {
            await _a.DisposeAsync();
            await _b.DisposeAsync();
        }
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    [Test]
    public async Task Stop_WorkerHasARequest_AnotherNodeServesWhenThatIsAnswered()
    {
        var (main, other) = _a.IsMain ? (_a, _b) : (_b, _a);
        other.IsMain.Should().BeFalse();
        await Eventually.BeTrueAsync(() => main.Status.Peer == "127.0.0.1", "clients get the address of the other node");
        var (worker, client) = (await main.WorkerAsync(), main.Client("client"));
        var answer = client.RequestAsync(ZmtpMessage.Of("client", "PING"));
        var request = await worker.ReceiveAsync();

        var stopping = main.StopAsync();
        await main.Log.SaysAsync("stopping");
        (await MainsAsync()).Should().Be(1, "it is the main as long as a worker has something of it");
        other.IsMain.Should().BeFalse();
        request.Reply(ZmtpMessage.Of("PONG"));

        (await answer).ToString().Should().Be("PONG");
        await stopping;
        await Eventually.BeTrueAsync(() => other.IsMain, "the other one serves");
        await other.AnsweringWorkerAsync("w");
        (await other.AskAsync("PING")).Should().Be("w: PING");
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Etcd_IsGoneForGood_NobodyServesUntilItIsBack()
    {
        await _etcd.KillAsync();
        await Eventually.BeTrueAsync(() => !_a.IsMain && !_b.IsMain, "nobody serves");
        (_a.Listener.Ports ?? _b.Listener.Ports).Should().BeNull("the ports are closed");

        await _etcd.RestartAsync();

        await Eventually.BeTrueAsync(() => _a.IsMain || _b.IsMain, "one of them serves");
        (_a.IsMain && _b.IsMain).Should().BeFalse();
    }

    private Task<BrokerNode> StartAsync(string name) => BrokerNode.StartAsync(cluster: new ClusterOptions
    {
        Name = "edge",
        Node = name,
        Etcd = [_etcd.Address],
        LeaseTime = TimeSpan.FromSeconds(2),
        StateDirectory = _directory.File("state"),
    });

    private async Task<int> MainsAsync()
    {
        using var connection = new EtcdConnection(new ClusterOptions { Name = "edge", Etcd = [_etcd.Address] }, TimeProvider.System);
        return (await new EtcdClient(connection).ListAsync("/lb/edge/main/", default)).Keys.Count;
    }
}
