using LoadBalancer.Cluster;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>Nodes share what operators set, over a real etcd.</summary>
[Parallelizable]
internal sealed class SharedKeeperTests
{
    private static readonly BackendKey B1 = BackendKey.Of("web", "b1");
    private static readonly OperatorChange.Patch Drain = new(true, AdminState.Draining, false, null);

    private TemporaryDirectory _directory = null!;
    private EtcdServer _etcd = null!;
    private string _cluster = ""; // one for each test
    private int _count;

    [OneTimeSetUp]
    public async Task StartAsync() => (_directory, _etcd) = (new TemporaryDirectory(), await EtcdServer.StartAsync());

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        _directory.Dispose();
        await (_etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    [SetUp]
    public void NextCluster() => _cluster = $"edge{++_count}";

    [Test]
    public async Task Change_AtOneNode_IsTakenUpByThatOneBeforeTheAnswerAndByAll()
    {
        await using var a = await StartAsync(_etcd, "a");
        await using var b = await StartAsync(_etcd, "b");

        (await a.Keeper.ChangeAsync(B1, Drain)).Should().BeNull();

        a.Keeper.State.Find(B1).AdminState!.Value.Should().Be(AdminState.Draining);
        await AlikeAsync(a, b);
        (await a.Etcd.GetAsync(B1Key, default)).Keys.Should().ContainSingle();
        b.Log.Lines.Should().Contain(line => line.Contains("pool 'web': backend 'b1' was changed by an operator at node 'a': Draining"));
    }

    [Test]
    public async Task Change_ManyAtTwoNodesAtOnce_NoneIsLost()
    {
        await using var a = await StartAsync(_etcd, "a");
        await using var b = await StartAsync(_etcd, "b");

        // On a busy machine one may take too long among so many, and is tried again as an operator would.
        Task ChangeAsync(SharingNode node, int backend, OperatorChange change) => Eventually.BeTrueAsync(
            async () => await node.Keeper.ChangeAsync(BackendKey.Of("web", $"b{backend}"), change) is null, "the change holds");
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => ChangeAsync(
            i % 2 == 0 ? a : b, i / 4, i % 4 < 2 ? Drain : new OperatorChange.Patch(false, null, true, i))));

        await AlikeAsync(a, b);
        a.Keeper.State.All.Should().HaveCount(5).And.OnlyContain(entry =>
            entry.Backend.AdminState!.Value == AdminState.Draining && entry.Backend.Weight!.Value > 0);
    }

    [Test]
    public async Task Change_AnswerIsLost_IsDoneOnce()
    {
        await using var relay = new AnswerLosingRelay(new Uri(_etcd.Address).Port);
        await using var a = await StartAsync($"http://127.0.0.1:{relay.Port}", "a");

        relay.LoseAnswerTo("/v3/kv/txn");
        (await a.Keeper.ChangeAsync(B1, Drain)).Should().BeNull();

        relay.Lost.Should().Be(1);
        var key = (await a.Etcd.GetAsync(B1Key, default)).Keys.Single();
        key.Changed.Should().Be(key.Created, "it was written once");
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Change_EtcdIsAway_SaysSoAndNothingIsChanged()
    {
        await using var etcd = await EtcdServer.StartAsync();
        await using var a = await StartAsync(etcd, "a");
        await using var b = await StartAsync(etcd, "b");
        await etcd.KillAsync();

        // The node does not know of it yet, and then it does.
        (await a.Keeper.ChangeAsync(B1, Drain)).Should().Contain("within 5 s").And.Contain("it may hold, or not");
        await Eventually.BeTrueAsync(() => !a.Watch.IsLive, "the node knows that it is cut off");
        (await a.Keeper.ChangeAsync(B1, Drain)).Should().Be("etcd is away; nothing was changed, at no node");

        await etcd.RestartAsync();
        await a.LiveAsync();
        await b.LiveAsync();
        (await b.Keeper.ChangeAsync(B1, new OperatorChange.Patch(false, null, true, 3))).Should().BeNull();
        await AlikeAsync(a, b);
        a.Keeper.State.Find(B1).AdminState.Should().BeNull();
    }

    [Test]
    public async Task EtcdComesBackEmpty_EveryChangeIsWrittenAgain()
    {
        await using var etcd = await EtcdServer.StartAsync();
        await using var a = await StartAsync(etcd, "a");
        await using var b = await StartAsync(etcd, "b");
        var added = new AddedBackend("b9", new EndpointAddress("http", "127.0.0.1", 9), 1, AdminState.Ready);
        (await a.Keeper.ChangeAsync(B1, Drain)).Should().BeNull();
        (await b.Keeper.ChangeAsync(BackendKey.Of("web", "b9"), new OperatorChange.Put(added))).Should().BeNull();
        await AlikeAsync(a, b);
        var before = a.Text;

        await etcd.KillAsync();
        etcd.DeleteData();
        await etcd.RestartAsync();

        await Eventually.BeTrueAsync(
            async () => (await a.Etcd.ListAsync($"/lb/{_cluster}/", default)).Keys.Count == 2, "both keys are in etcd again");
        await using var c = await StartAsync(etcd, "c");
        await AlikeAsync(a, b, c);
        c.Text.Should().Be(before);
    }

    [Test]
    public async Task EtcdHasAnOlderValue_LaterOneWins()
    {
        await using var a = await StartAsync(_etcd, "a");
        (await a.Keeper.ChangeAsync(B1, Drain)).Should().BeNull();
        var old = (await a.Etcd.GetAsync(B1Key, default)).Keys.Single().Value;
        (await a.Keeper.ChangeAsync(B1, new OperatorChange.Patch(true, null, true, null))).Should().BeNull();
        var cleared = a.Text;

        await a.Etcd.TransactAsync([], [EtcdChange.Put(B1Key, old)], null, default);

        await using var b = await StartAsync(_etcd, "b");
        await Eventually.BeTrueAsync(() => b.Text == cleared, "the later change is in etcd again");
        a.Text.Should().Be(cleared);
    }

    [Test]
    public async Task KeyIsDeletedOrNotOurs_NodesGoOn()
    {
        await using var a = await StartAsync(_etcd, "a");
        (await a.Keeper.ChangeAsync(B1, Drain)).Should().BeNull();

        await a.Etcd.TransactAsync([], [EtcdChange.Delete(B1Key)], null, default);
        await Eventually.BeTrueAsync(() => !a.Keeper.State.All.Any(), "the key is gone at the node as well");
        await a.Etcd.TransactAsync([], [EtcdChange.Put(B1Key, "x")], null, default);
        await a.Log.SaysAsync(B1Key, "cannot be read");
        (await a.Keeper.ChangeAsync(B1, Drain)).Should().BeNull();

        a.Keeper.State.Find(B1).AdminState!.Value.Should().Be(AdminState.Draining);
    }

    [Test]
    public async Task Start_EtcdIsAway_KnowsWhatItsCopySays()
    {
        await using var etcd = await EtcdServer.StartAsync();
        string before;
        await using (var a = await StartAsync(etcd, "a"))
        {
            (await a.Keeper.ChangeAsync(B1, Drain)).Should().BeNull();
            before = a.Text;
        }
        await etcd.KillAsync();

        await using var again = SharingNode.Start(etcd.Address, _cluster, "a", _directory.File("state"));

        again.Text.Should().Be(before);
        again.Keeper.Copy().Revision.Should().BePositive();
    }

    [Test]
    public async Task StickyKey_SeveralNodes_HaveThatOfTheFirstUntilThereIsAKeyFile()
    {
        await using var a = await StartAsync(_etcd, "a", Key(1));
        await Eventually.BeTrueAsync(() => a.StickyKey is not null, "the first node has written its key");
        await using var b = await StartAsync(_etcd, "b", Key(2));
        await Eventually.BeTrueAsync(() => b.StickyKey == a.StickyKey, "the second one uses that");
        a.StickyKey.Should().Be(Key(1));

        await using var c = await StartAsync(_etcd, "c", Key(3, "web"), isOfFile: true);
        await Eventually.BeTrueAsync(() => a.StickyKey == Key(3, "web") && b.StickyKey == a.StickyKey, "the key of a file wins");
        a.Log.Lines.Should().NotContain(line => line.Contains("KeyFile"));

        await using var d = await StartAsync(_etcd, "d", Key(4, "web"), isOfFile: true);
        await d.Log.SaysAsync("Error", "pool 'web'", "is not that of another node");
    }

    private string B1Key => $"/lb/{_cluster}/admin/web/b1";

    private static StickyKeyOfCluster Key(byte number, string? pool = null) =>
        new(Convert.ToBase64String(Enumerable.Repeat(number, 32).ToArray()), pool);

    private static Task AlikeAsync(params SharingNode[] nodes) =>
        Eventually.BeTrueAsync(() => nodes.All(node => node.Text == nodes[0].Text), "all nodes know the same");

    private Task<SharingNode> StartAsync(EtcdServer etcd, string name, StickyKeyOfCluster? key = null, bool isOfFile = false) =>
        StartAsync(etcd.Address, name, key, isOfFile);

    private async Task<SharingNode> StartAsync(string etcd, string name, StickyKeyOfCluster? key = null, bool isOfFile = false)
    {
        var node = SharingNode.Start(etcd, _cluster, name, _directory.File("state"), key, isOfFile);
        await node.LiveAsync();
        return node;
    }
}
