using System.Text.Json.Nodes;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>What nodes tell each other of what they are doing, and when. etcd is scripted, and the clock is the test's.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class NodeRatesTests : IAsyncDisposable
{
    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly List<ClusterNode> _nodes = [];
    private EtcdStub _etcd = null!;

    [SetUp]
    public async Task StartAsync() => _etcd = await EtcdStub.StartAsync(_clock);

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _nodes)
        {
            await node.LeaveAsync(isReplaced: false);
            node.Dispose();
        }
        await _etcd.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Describe_NobodyWantsRates_WritesNothing()
    {
        var a = await StartedAsync("a", 10);
        await StartedAsync("b", 20);
        var since = _clock.GetTimestamp();
        var isWritten = false;

        await EventuallyAsync(
            () =>
            {
                a.Describe(wantsRates: false);
                isWritten |= _etcd.Find("/lb/edge/rates/a") is not null || _etcd.Find("/lb/edge/viewers/a") is not null;
                return _clock.GetElapsedTime(since) > TimeSpan.FromSeconds(30);
            },
            TimeSpan.FromMilliseconds(250));

        isWritten.Should().BeFalse();
        Nodes(a.Describe(wantsRates: false)).Should().NotContain(node => node.ContainsKey("rates"));
    }

    [Test]
    public async Task Describe_RatesAreWanted_EachNodeTellsItsOwnUntilNobodyAsksAnyMore()
    {
        var a = await StartedAsync("a", 10);
        await StartedAsync("b", 20);

        await EventuallyAsync(() => Rates(a).SequenceEqual([10, 20]));
        await EventuallyAsync(() => _etcd.Find("/lb/edge/viewers/a") is not null);
        _etcd.Find("/lb/edge/viewers/b").Should().BeNull("nobody has asked there");
        _etcd.Find("/lb/edge/rates/b")!.Value.Lease.Should().NotBe(0, "it ends with the node");

        await EventuallyAsync(() => _etcd.Find("/lb/edge/viewers/a") is null && _etcd.Find("/lb/edge/rates/a") is null
            && _etcd.Find("/lb/edge/rates/b") is null);
        await EventuallyAsync(() => !_nodes[0].Keys.Current.Keys.ContainsKey("/lb/edge/rates/b"));
        Rates(a).Should().Equal(10, null);
    }

    [Test]
    public async Task Describe_ANodeKnowsNothingOrWritesSomethingElse_HasNoRates()
    {
        var a = await StartedAsync("a", 10);
        await StartedAsync("b", null);
        _etcd.Put("/lb/edge/nodes/c", "{}");
        _etcd.Put("/lb/edge/rates/c", """{"requestsPerSecond":1e999,"inFlight":"<b>","p99Ms":5,"more":1}""");
        await EventuallyAsync(() => Rates(a).Count == 3 && _etcd.Find("/lb/edge/rates/a") is not null);

        Rates(a).Should().Equal(10, null, null);
        JsonText.Of(Nodes(a.Describe(wantsRates: true)).Last()["rates"]!).Should().Be(
            """{"requestsPerSecond":null,"errorShare":null,"p50Ms":null,"p99Ms":5,"inFlight":null,"backends":null,"down":null}""");
        _etcd.Find("/lb/edge/rates/b").Should().BeNull();
    }

    [Test]
    public async Task Leave_RatesAreWanted_LeavesNothingBehind()
    {
        var a = await StartedAsync("a", 10);
        await EventuallyAsync(() => Rates(a).Count == 1 && _etcd.Find("/lb/edge/rates/a") is not null);

        await _nodes[0].LeaveAsync(isReplaced: false);

        _etcd.Find("/lb/edge/rates/a").Should().BeNull();
        _etcd.Find("/lb/edge/viewers/a").Should().BeNull();
    }

    [TestCase(1, 5)]
    [TestCase(50, 5)]
    [TestCase(100, 10)]
    public void IntervalOf_SoManyNodes_IsTenWritesPerSecondAtMost(int nodes, int seconds) =>
        NodeRates.IntervalOf(nodes).Should().Be(TimeSpan.FromSeconds(seconds));

    private static IEnumerable<JsonObject> Nodes(JsonObject cluster) => cluster["nodes"]!.AsArray().Select(node => node!.AsObject());

    private static List<double?> Rates(NodeRates node) =>
        [.. Nodes(node.Describe(wantsRates: true)).Select(one => one["rates"]?["requestsPerSecond"]?.GetValue<double>())];

    private async Task<NodeRates> StartedAsync(string name, double? requestsPerSecond)
    {
        var options = new ClusterOptions { Name = "edge", Node = name, Etcd = [_etcd.Address], LeaseTime = TimeSpan.FromSeconds(6) };
        var node = new ClusterNode(options, null, () => null, _ => { }, _clock, _log);
        _nodes.Add(node);
        var rates = new NodeRates(
            node, name, () => requestsPerSecond is { } known ? new JsonObject { ["requestsPerSecond"] = known } : null, new Random(1),
            new ClusterLog("edge", _log));
        await node.StartAsync(default);
        await EventuallyAsync(() => node.IsConnected);
        return rates;
    }

    private Task EventuallyAsync(Func<bool> condition, TimeSpan? step = null) => Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(step ?? TimeSpan.FromMilliseconds(50));
            return condition();
        },
        "that is so");
}
