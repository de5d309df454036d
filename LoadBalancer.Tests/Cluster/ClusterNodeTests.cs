using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>How a node comes into its cluster, stays there and leaves. etcd is scripted, and the clock is the test's.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ClusterNodeTests : IAsyncDisposable
{
    private const string Key = "/lb/edge/nodes/a";
    private const string Living =
        """{"name":"a","address":"http://10.0.0.9:8081","version":"1.0","since":"2026-01-01T00:00:00Z","configuration":null}""";

    private static readonly TimeSpan LeaseTime = TimeSpan.FromSeconds(6);

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly List<string> _notes = [];
    private readonly List<ClusterNode> _nodes = [];
    private volatile MemberConfiguration? _configuration;
    private EtcdStub _etcd = null!;

    [SetUp]
    public async Task StartAsync() => _etcd = await EtcdStub.StartAsync(_clock);

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _nodes)
        {
            _etcd.Fault = _ => EtcdFault.None;
            await node.LeaveAsync(isReplaced: false);
            node.Dispose();
        }
        await _etcd.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Start_NameIsFree_IsInTheCluster()
    {
        var node = Node("a");
        await node.StartAsync(default);

        node.IsConnected.Should().BeTrue();
        var json = node.Describe();
        json.Select(entry => entry.Key).Should().Equal("name", "node", "connected", "revision", "nodes", "mains");
        json["revision"]!.GetValue<long>().Should().Be(_etcd.Revision);
        JsonText.Of(json["nodes"]!).Should().Be(
            $$"""[{"name":"a","address":"http://127.0.0.1:8081","version":"{{BuildInformation.Version}}","""
            + "\"since\":\"2025-01-01T00:00:00Z\",\"configuration\":null}]");
        _etcd.Find(Key)!.Value.Lease.Should().NotBe(0);
    }

    [Test]
    public async Task Start_AnswerOfTheWriteIsLost_FindsThatTheNameIsItsOwn()
    {
        var isFirst = true;
        _etcd.Fault = path =>
        {
            var isLost = path == "/v3/kv/txn" && isFirst;
            isFirst &= !isLost;
            return isLost ? EtcdFault.AnswerIsLost : EtcdFault.None;
        };
        var node = Node("a");

        await node.StartAsync(default);
        await EventuallyAsync(() => node.IsConnected);

        node.Describe().ContainsKey("error").Should().BeFalse();
    }

    [Test]
    public async Task Start_NameIsALivingNodes_DoesNotStartAndSaysWhose()
    {
        _etcd.Put(Key, Living);
        var starting = Node("a").StartAsync(default);

        await Eventually.BeDoneAsync(starting, _clock, TimeSpan.FromMilliseconds(50), "it gives up");

        (await ((Func<Task>)(() => starting)).Should().ThrowAsync<StartException>()).Which.Message.Should().Be(
            "cluster: the name of this node is held by node 'a' at http://10.0.0.9:8081, there since 2026-01-01T00:00:00Z; "
            + "stop that one, or give this one another LoadBalancer:Cluster:Node");
        _etcd.Find(Key)!.Value.Value.Should().Be(Living);
    }

    [Test]
    public async Task Start_NameIsHeldByADeadLease_WaitsForItsEnd()
    {
        _etcd.Put(Key, Living, _etcd.Grant(LeaseTime));
        var node = Node("a");
        var starting = node.StartAsync(default);

        await Eventually.BeDoneAsync(starting, _clock, TimeSpan.FromMilliseconds(50), "it has started");

        await starting;
        _etcd.Find(Key)!.Value.Value.Should().NotBe(Living);
    }

    [Test]
    public async Task Start_NameIsHeldByADeadLeaseAndEtcdRestarts_WaitsForItsEnd()
    {
        _etcd.Put(Key, Living, _etcd.Grant(LeaseTime)); // It lasts longer, as etcd begins to count anew.
        var (begun, fails) = (_clock.GetTimestamp(), false);
        _etcd.Fault = _ => fails ? EtcdFault.Refused : EtcdFault.None;
        var starting = Node("a").StartAsync(default);
        await EventuallyAsync(() => _clock.GetElapsedTime(begun) > LeaseTime - TimeSpan.FromSeconds(1));
        fails = true;
        await EventuallyAsync(() => _clock.GetElapsedTime(begun) > LeaseTime - TimeSpan.FromSeconds(0.5));
        fails = false;
        _etcd.Put(Key, Living, _etcd.Grant(LeaseTime));

        await Eventually.BeDoneAsync(starting, _clock, TimeSpan.FromMilliseconds(50), "it has started");

        await starting;
        _etcd.Find(Key)!.Value.Value.Should().NotBe(Living);
    }

    [Test]
    public async Task Start_EtcdIsAway_StartsAndJoinsLater()
    {
        _etcd.Fault = _ => EtcdFault.Refused;
        var node = Node("a");
        await node.StartAsync(default);
        var early = node.IsConnected;

        _etcd.Fault = _ => EtcdFault.None;
        await EventuallyAsync(() => node.IsConnected);

        early.Should().BeFalse();
        _log.Lines.Should().ContainSingle(line => line.Contains("not connected to etcd", StringComparison.Ordinal));
        await EventuallyAsync(() => _log.Lines.Any(line => line.Contains("connected to etcd; nodes: 'a'", StringComparison.Ordinal)));
    }

    [Test]
    public async Task Run_NameIsOfItsKilledProcessWhenEtcdComesBack_JoinsWithoutAnError()
    {
        var node = await StartedWithoutItsNameAsync();

        _etcd.Delete(Key); // Its lease has ended.
        await EventuallyAsync(() => node.IsConnected);

        _log.Lines.Should().NotContain(line => line.StartsWith("Error", StringComparison.Ordinal));
    }

    [Test]
    public async Task Run_NameIsALivingNodesWhenEtcdComesBack_ServesOutsideAndSaysSoOnceAMinute()
    {
        var node = await StartedWithoutItsNameAsync();
        var since = _clock.GetTimestamp();
        await EventuallyAsync(() => _clock.GetElapsedTime(since) > TimeSpan.FromSeconds(75), TimeSpan.FromMilliseconds(250));

        node.Describe()["error"]!.ToString().Should()
            .StartWith("this node serves outside the cluster, because its name is held by node 'a'");
        node.IsConnected.Should().BeFalse();
        _log.Lines.Count(line => line.Contains("serves outside the cluster", StringComparison.Ordinal)).Should().Be(2);
        _etcd.Delete(Key);
        await EventuallyAsync(() => node.IsConnected);
        node.Describe().ContainsKey("error").Should().BeFalse();
    }

    [Test]
    public async Task Run_LeaseEndsAtEtcd_ComesBackWithAnotherOne()
    {
        var node = await StartedAsync("a");
        var lease = _etcd.Find(Key)!.Value.Lease;

        _etcd.EndLease(lease);

        await EventuallyAsync(() => _etcd.Find(Key) is { } found && found.Lease != lease && node.IsConnected);
    }

    [Test]
    public async Task Run_SomebodyDeletesTheKey_IsWrittenAgain()
    {
        var node = await StartedAsync("a");

        _etcd.Delete(Key);

        await EventuallyAsync(() => _etcd.Find(Key) is not null && node.IsConnected);
    }

    [Test]
    public async Task Run_EtcdComesBackEmpty_IsInItAgain()
    {
        var node = await StartedAsync("a");
        _etcd.Put("/lb/edge/nodes/b", Living);
        await EventuallyAsync(() => node.Nodes.Count == 2);

        _etcd.Forget(1);

        await EventuallyAsync(() => _etcd.Find(Key) is not null && node.IsConnected && node.Nodes.Count == 1);
    }

    [Test]
    public async Task Run_EtcdIsSilent_IsNotConnectedWithinTheLeaseAndTwoSeconds()
    {
        var node = await StartedAsync("a");
        var since = _clock.GetTimestamp();
        _etcd.Fault = _ => EtcdFault.Silent;

        await EventuallyAsync(() => !node.IsConnected);

        _clock.GetElapsedTime(since).Should().BeLessThan(LeaseTime + TimeSpan.FromSeconds(2));
        node.Nodes.Should().ContainSingle("what was known stays known");
        await EventuallyAsync(() => _notes.Exists(note => note.Contains("not connected", StringComparison.Ordinal)));
    }

    [Test]
    public async Task Run_OtherNodesComeAndGo_TellsHowManyThereAre()
    {
        var node = await StartedAsync("a");
        var counts = new List<int>();
        node.CountChanged += counts.Add;

        _etcd.Put("/lb/edge/nodes/b", Living);
        await EventuallyAsync(() => counts.Count == 1);
        _etcd.Put("/lb/edge/nodes/c", "not written by a node");
        await EventuallyAsync(() => counts.Count == 2);
        _etcd.Delete("/lb/edge/nodes/b");
        await EventuallyAsync(() => counts.Count == 3);

        counts.Should().Equal(2, 3, 2);
        node.Nodes.Select(other => other.Name).Should().Equal("a", "c");
        _notes.Should().ContainInOrder(
            "cluster 'edge': node 'b' has come", "cluster 'edge': node 'c' has come", "cluster 'edge': node 'b' has gone");
    }

    [Test]
    public async Task Leave_IsInTheCluster_GivesItsNameBackForGood()
    {
        var node = await StartedAsync("a");
        var lease = _etcd.Find(Key)!.Value.Lease;

        await node.LeaveAsync(isReplaced: false);

        _etcd.Find(Key).Should().BeNull();
        // A write of it that arrives now is refused.
        using var connection = new EtcdConnection(Options("a"), _clock);
        var late = () => new EtcdClient(connection).TransactAsync([], [EtcdChange.Put(Key, "ghost", lease)], null, default);
        await late.Should().ThrowAsync<EtcdException>();
    }

    [Test]
    public async Task Leave_EtcdIsSilent_TakesTwoSeconds()
    {
        var node = await StartedAsync("a");
        _etcd.Fault = _ => EtcdFault.Silent;
        var leaving = node.LeaveAsync(isReplaced: false);

        await Eventually.BeTrueAsync(() => _etcd.Calls.Contains("/v3/lease/revoke"), "it gives its name back");
        _clock.Advance(TimeSpan.FromSeconds(2));

        await leaving;
        _log.Lines.Should().Contain(line => line.Contains("cannot be given back", StringComparison.Ordinal));
    }

    [Test]
    public async Task Start_InPlaceOfAnotherProcess_GoesOnWithItsLease()
    {
        var old = await StartedAsync("a");
        var lease = _etcd.Find(Key)!.Value.Lease;
        var left = new TaskCompletionSource();
        _clock.Advance(TimeSpan.FromSeconds(1));

        var next = Node("a", new ClusterStart(old.HandOver(), new Lazy<Task>(left.Task)));
        await next.StartAsync(default);
        await EventuallyAsync(() => next.IsConnected);
        await old.LeaveAsync(isReplaced: true);
        left.SetResult();

        await EventuallyAsync(() => !_etcd.Find(Key)!.Value.Value.Contains("00:00:00Z", StringComparison.Ordinal) || next.IsConnected);
        _etcd.Find(Key)!.Value.Lease.Should().Be(lease);
        await next.LeaveAsync(isReplaced: false);
        _etcd.Find(Key).Should().BeNull();
    }

    [Test]
    public async Task Leave_ProcessThatShouldHaveReplacedAnotherFails_LeavesItsName()
    {
        var old = await StartedAsync("a");
        var next = Node("a", new ClusterStart(old.HandOver(), new Lazy<Task>(new TaskCompletionSource().Task)));
        await next.StartAsync(default);

        await next.LeaveAsync(isReplaced: false);

        _etcd.Find(Key).Should().NotBeNull();
        old.IsConnected.Should().BeTrue();
    }

    [Test]
    public async Task Start_FormerProcessHadAnotherName_TakesItsOwn()
    {
        var old = await StartedAsync("a");
        var next = Node("b", new ClusterStart(old.HandOver(), new Lazy<Task>(Task.CompletedTask)));

        await next.StartAsync(default);

        _etcd.Find("/lb/edge/nodes/b")!.Value.Lease.Should().NotBe(_etcd.Find(Key)!.Value.Lease);
    }

    private ClusterOptions Options(string name) =>
        new() { Name = "edge", Node = name, Etcd = [_etcd.Address], LeaseTime = LeaseTime };

    [Test]
    public async Task TellConfiguration_OtherThanBefore_IsInItsKeySoon()
    {
        var node = await StartedAsync("a");

        _configuration = new MemberConfiguration(3, "configuration 4 cannot be used");
        node.TellConfiguration();

        const string Told = "\"configuration\":{\"revision\":3,\"error\":\"configuration 4 cannot be used\"}";
        JsonText.Of(node.Describe()["nodes"]!).Should().Contain(Told, "it knows that of itself");
        await EventuallyAsync(() => _etcd.Find(Key)!.Value.Value.Contains(Told, StringComparison.Ordinal));
        await EventuallyAsync(() => node.Nodes[0].Configuration == _configuration);
        _log.Lines.Count(line => line.Contains("is in it as 'a'", StringComparison.Ordinal)).Should().Be(1);
    }

    private ClusterNode Node(string name, ClusterStart? start = null)
    {
        var node = new ClusterNode(Options(name), start, () => "http://127.0.0.1:8081", _notes.Add, _clock, _log)
        {
            Configuration = () => _configuration,
        };
        _nodes.Add(node);
        return node;
    }

    private async Task<ClusterNode> StartedAsync(string name)
    {
        var node = Node(name);
        await node.StartAsync(default);
        await EventuallyAsync(() => node.IsConnected);
        return node;
    }

    // While etcd was away; now it has come back, with a key of that name.
    private async Task<ClusterNode> StartedWithoutItsNameAsync()
    {
        _etcd.Fault = _ => EtcdFault.Refused;
        _etcd.Put(Key, Living);
        var node = Node("a");
        await node.StartAsync(default);
        _etcd.Fault = _ => EtcdFault.None;
        await EventuallyAsync(() => node.Describe().ContainsKey("error"));
        return node;
    }

    private Task EventuallyAsync(Func<bool> condition, TimeSpan? step = null) => Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(step ?? TimeSpan.FromMilliseconds(20));
            return condition();
        },
        "that is so");
}
