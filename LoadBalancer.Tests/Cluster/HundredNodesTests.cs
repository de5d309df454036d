using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>
/// A hundred nodes at one etcd, without listeners: what they ask of it and what it tells them. The clock is the test's, so the numbers are
/// those of any machine; docs/cluster.md has them.
/// </summary>
[Explicit("takes long; .ci/run runs it")]
[Category("Long")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class HundredNodesTests : IAsyncDisposable
{
    private const int Count = 100;
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(100);

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly TemporaryDirectory _directory = new();
    private readonly List<Member> _members = [];
    private EtcdStub _etcd = null!;

    [SetUp]
    public async Task StartAsync() => _etcd = await EtcdStub.StartAsync(_clock);

    public async ValueTask DisposeAsync()
    {
        foreach (var member in _members)
        {
            await member.Node.LeaveAsync(isReplaced: false);
            await member.Keeper.StopAsync();
            member.Keeper.Dispose();
            member.Node.Dispose();
        }
        await _etcd.DisposeAsync();
        _directory.Dispose();
        _log.Dispose();
    }

    [Test]
    [TimeLimit(600)]
    public async Task Nodes_AHundred_AskLittleAndWriteOnlyWhatChanges()
    {
        var joined = await MeasureAsync("all join", async () =>
        {
            for (var i = 0; i < Count; i++)
            {
                await JoinAsync($"node{i:000}");
            }
            await EventuallyAsync(member => member.Node.Nodes.Count == Count && member.Node.IsConnected);
        });
        joined.Writes.Should().Be(Count, "each writes its name once");
        joined.Calls.Should().BeLessThan(Count * 10);

        var idle = await MeasureAsync("60 s in which nothing happens", () => PassAsync(TimeSpan.FromSeconds(60)));
        idle.Writes.Should().Be(0);
        idle.Events.Should().Be(0);
        (idle.Calls / 60.0).Should().BeInRange(50, 150, "three of the lease and two of the watch in five seconds, for each node");

        var key = BackendKey.Of("web", "b1");
        var drained = await MeasureAsync("a drain", async () =>
        {
            var patch = new OperatorChange.Patch(true, AdminState.Draining, false, null);
            (await _members[0].Keeper.ChangeAsync(key, patch)).Should().BeNull();
            await EventuallyAsync(member => member.Keeper.State.Find(key).AdminState?.Value == AdminState.Draining);
        });
        (drained.Calls, drained.Writes, drained.Events).Should().Be((1, 1, Count));

        _log.Lines.Should().NotContain(line => line.Contains("lease of this node has ended", StringComparison.Ordinal));
    }

    [Test]
    [TimeLimit(120)]
    public async Task Node_TenThousandBackendsWereSet_ReadsThemOnceAndFollowsEachChange()
    {
        const int Backends = 10_000;
        var patch = new OperatorChange.Patch(true, AdminState.Draining, true, 10);
        var value = SharedText.Value(SharedBackend.None.With(patch, _clock.GetUtcNow(), "node000"), SharedPart.Admin);
        for (var i = 0; i < Backends; i++)
        {
            _etcd.Put("/lb/edge/" + SharedText.Key(BackendKey.Of($"pool{i / 100:000}", $"backend{i:00000}"), SharedPart.Admin), value);
        }

        var read = await MeasureAsync("a node joins", async () =>
        {
            await JoinAsync("a");
            await EventuallyAsync(member => member.Keeper.State.All.Count() == Backends);
        });
        var key = BackendKey.Of("pool007", "backend00700");
        var changed = await MeasureAsync("a drain is taken back", async () =>
        {
            (await _members[0].Keeper.ChangeAsync(key, new OperatorChange.Patch(true, AdminState.Ready, false, null))).Should().BeNull();
        });

        read.Sent.Should().BeLessThan(8_000_000, "an answer of etcd may have 16 MB");
        (changed.Calls, changed.Writes, changed.Events).Should().Be((1, 1, 1));
        changed.Sent.Should().BeLessThan(2000);
    }

    private async Task JoinAsync(string name)
    {
        var options = new ClusterOptions { Name = "edge", Node = name, Etcd = [_etcd.Address] };
        var node = new ClusterNode(options, null, () => "http://10.0.0.1:8081", _ => { }, _clock, _log);
        var file = new StateFile(_directory.File(name), "edge", name);
        var keeper = new SharedKeeper(node.Etcd, "edge", name, StateCopy.Empty, file, _clock, _log);
        _ = new NodeRates(node, name, () => [], new Random(1), new ClusterLog("edge", _log)); // which nobody asks
        node.Keys.Changed += keeper.TakeUp;
        _members.Add(new Member(node, keeper));
        await node.StartAsync(default);
        keeper.Start();
    }

    private Task EventuallyAsync(Func<Member, bool> condition) => Eventually.BeTrueAsync(() => _members.All(condition), "all know it");

    // The nodes must have said what they say in a step before the next one: their leases go on by the same clock.
    private async Task PassAsync(TimeSpan time)
    {
        for (var passed = TimeSpan.Zero; passed < time; passed += Step)
        {
            _clock.Advance(Step);
            for (var (before, still) = (-1L, 0); still < 2; still = _etcd.Served == before ? still + 1 : 0)
            {
                before = _etcd.Served;
                await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
            }
        }
    }

    private async Task<Traffic> MeasureAsync(string what, Func<Task> act)
    {
        var before = Now();
        await act();
        var now = Now();
        var traffic = new Traffic(
            now.Calls - before.Calls, now.Writes - before.Writes, now.Events - before.Events, now.Received - before.Received,
            now.Sent - before.Sent);
        TestContext.Out.WriteLine($"{what}: {traffic}");
        return traffic;

        Traffic Now() => new(_etcd.Served, _etcd.Revision, _etcd.Events, _etcd.Bytes.Received, _etcd.Bytes.Sent);
    }

    private sealed record Member(ClusterNode Node, SharedKeeper Keeper);

    private sealed record Traffic(long Calls, long Writes, long Events, long Received, long Sent);
}
