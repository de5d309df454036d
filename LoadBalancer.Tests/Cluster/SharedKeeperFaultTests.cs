using System.Collections.Immutable;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>What a keeper does where etcd fails at a bad moment. The server is scripted, and the clock is the test's.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class SharedKeeperFaultTests : IAsyncDisposable
{
    private const string Key = "/lb/edge/admin/web/b1";
    private static readonly BackendKey B1 = BackendKey.Of("web", "b1");
    private static readonly OperatorChange.Patch Drain = new(true, AdminState.Draining, false, null);

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly TemporaryDirectory _directory = new();
    private EtcdStub _etcd = null!;
    private EtcdConnection _connection = null!;
    private SharedKeeper _keeper = null!;
    private volatile string? _whyNot;
    private int _asked;
    private Action<SharedState> _share = _ => { };
    private StickyKeyOfCluster[] _fileKeys = [];

    [SetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdStub.StartAsync(_clock);
        _connection = new EtcdConnection(
            new ClusterOptions { Name = "edge", Etcd = [_etcd.Address], LeaseTime = TimeSpan.FromSeconds(60) }, _clock);
        var known = StateCopy.Empty with { State = SharedState.Empty.Merge(B1, SharedBackend.None.With(Drain, _clock.GetUtcNow(), "a")) };
        var file = new StateFile(_directory.File("state"), "edge", "a");
        _keeper = new SharedKeeper(new EtcdClient(_connection), "edge", "a", known, file, _clock, _log)
        {
            WhyNot = () =>
            {
                Interlocked.Increment(ref _asked);
                return _whyNot;
            },
            Share = state => _share(state),
            FileKeys = () => _fileKeys,
        };
        _keeper.Start();
    }

    public async ValueTask DisposeAsync()
    {
        await _keeper.StopAsync();
        _keeper.Dispose();
        _connection.Dispose();
        _directory.Dispose();
        await _etcd.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task TakeUp_LostWhileTheNodeIsCutOff_IsWrittenWhenItIsConnected()
    {
        _whyNot = "the lease is not safe yet";
        _keeper.TakeUp(Read());
        await Eventually.BeTrueAsync(() => Volatile.Read(ref _asked) > 0, "it has seen that");
        _etcd.Find(Key).Should().BeNull();

        _whyNot = null; // and the keys tell nothing new

        await EventuallyAsync(() => _etcd.Find(Key) is not null);
    }

    [Test]
    public async Task TakeUp_SharingFails_ChangeIsAnsweredAllTheSame()
    {
        _keeper.TakeUp(Read());
        await EventuallyAsync(() => _etcd.Find(Key) is not null);
        _share = _ => throw new InvalidOperationException("a bug");
        var changing = _keeper.ChangeAsync(B1, new OperatorChange.Patch(false, null, true, 7));
        await Eventually.BeTrueAsync(() => _etcd.Find(Key)!.Value.Value.Contains("\"value\":7", StringComparison.Ordinal), "it is written");

        var take = () => _keeper.TakeUp(Read(new EtcdKey(Key, _etcd.Find(Key)!.Value.Value, 2, _etcd.Revision, 0)));

        take.Should().Throw<InvalidOperationException>();
        (await changing).Should().BeNull();
    }

    [Test]
    public async Task Change_AnswerIsLostAndAnotherOperatorWasLater_DoesNotUndoThat()
    {
        _keeper.TakeUp(Read());
        await EventuallyAsync(() => _etcd.Find(Key) is not null);
        _keeper.TakeUp(Read(new EtcdKey(Key, _etcd.Find(Key)!.Value.Value, 2, _etcd.Revision, 0)));
        var later = "";
        _etcd.Fault = path => path == "/v3/kv/txn" && later.Length == 0 ? EtcdFault.AnswerIsLost : EtcdFault.None;
        var changing = _keeper.ChangeAsync(B1, new OperatorChange.Patch(true, AdminState.Disabled, false, null));
        await Eventually.BeTrueAsync(() => _etcd.Find(Key)!.Value.Value.Contains("Disabled", StringComparison.Ordinal), "it is written");
        var ready = SharedBackend.None.With(
            new OperatorChange.Patch(true, AdminState.Ready, false, null), _clock.GetUtcNow() + TimeSpan.FromSeconds(1), "b");
        later = SharedText.Value(ready, SharedPart.Admin);
        _etcd.Put(Key, later);

        await Eventually.BeDoneAsync(changing, _clock, TimeSpan.FromMilliseconds(10), "it is answered");

        (await changing).Should().Contain("the same was set at node 'b' since");
        _etcd.Find(Key)!.Value.Value.Should().Be(later);
    }

    [Test]
    public async Task TakeUp_BackendWasDeletedLongAgo_ForgetsAlsoWhatWasSetForIt()
    {
        const string deleted = "/lb/edge/backends/web/b1";
        var gone = SharedBackend.None.With(new OperatorChange.Delete(), _clock.GetUtcNow() + TimeSpan.FromSeconds(1), "a");
        _etcd.Put(Key, SharedText.Value(_keeper.State.Find(B1), SharedPart.Admin));
        var set = new EtcdKey(Key, _etcd.Find(Key)!.Value.Value, _etcd.Revision, _etcd.Revision, 0);
        _etcd.Put(deleted, SharedText.Value(gone, SharedPart.Added));
        _clock.Advance(TimeSpan.FromDays(31));

        _keeper.TakeUp(Read(set, new EtcdKey(deleted, _etcd.Find(deleted)!.Value.Value, _etcd.Revision, _etcd.Revision, 0)));

        await Eventually.BeTrueAsync(() => _etcd.Find(Key) is null && _etcd.Find(deleted) is null, "both keys are gone");
        _keeper.State.All.Should().BeEmpty();
    }

    [Test]
    public async Task StickyKey_AnotherNodeWasFirst_KeyOfTheFileWinsAllTheSame()
    {
        const string sticky = "/lb/edge/sticky-key";
        var (ofFile, other) = (StickyKey(1, "web"), StickyKey(2, null));
        _fileKeys = [ofFile];
        var text = JsonText.Of(other.ToJson());
        _etcd.Fault = _ =>
        {
            if (_etcd.Find(sticky) is null)
            {
                _etcd.Put(sticky, text);
            }
            return EtcdFault.None;
        };
        _keeper.TakeUp(Read());
        await Eventually.BeTrueAsync(() => _etcd.Find(sticky) is not null && _etcd.Find(Key) is not null, "the other node was first");
        var now = new KeySnapshot("7", _etcd.Revision, KeySnapshot.Empty.Keys.Add(sticky, new EtcdKey(sticky, text, 2, 2, 0)));

        _keeper.TakeUp(new KeyChange(KeySnapshot.Empty, now, IsRestored: false, IsRead: false));

        await Eventually.BeTrueAsync(() => _etcd.Find(sticky)!.Value.Value == JsonText.Of(ofFile.ToJson()), "the key of the file is there");
    }

    [Test]
    public void TakeUp_ValuesOfAnotherProgram_AreNamedInTheLogAndTheRestIsTakenUp()
    {
        const string half = """{"key":"\ud800","adminState":{"value":"\ud800"}}""";
        var set = SharedText.Value(
            SharedBackend.None.With(Drain, _clock.GetUtcNow() + TimeSpan.FromSeconds(1), "b"), SharedPart.Admin);

        _keeper.TakeUp(Read(
            new EtcdKey("/lb/edge/admin/web/a", half, 2, 2, 0), new EtcdKey("/lb/edge/admin/web/b2", set, 3, 3, 0),
            new EtcdKey("/lb/edge/sticky-key", half, 4, 4, 0)));

        _keeper.State.Find(BackendKey.Of("web", "b2")).Node.Should().Be("b");
        _log.Lines.Should().ContainSingle(line => line.Contains("value of /lb/edge/admin/web/a in etcd", StringComparison.Ordinal));
        _log.Lines.Should().ContainSingle(line => line.Contains("value of /lb/edge/sticky-key in etcd", StringComparison.Ordinal));
    }

    private static StickyKeyOfCluster StickyKey(byte number, string? pool) =>
        new(Convert.ToBase64String(Enumerable.Repeat(number, 32).ToArray()), pool);

    private KeyChange Read(params EtcdKey[] keys) => new(
        KeySnapshot.Empty, new KeySnapshot("7", _etcd.Revision, keys.ToImmutableSortedDictionary(key => key.Key, key => key)),
        IsRestored: false, IsRead: true);

    private Task EventuallyAsync(Func<bool> condition) => Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(50));
            return condition();
        },
        "it is so");
}
