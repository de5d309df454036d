using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>What a watch learns from an etcd that does not always tell all.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class KeyWatchTests : IAsyncDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly List<KeyChange> _changes = [];
    private CancellationTokenSource _stop = null!;
    private EtcdStub _etcd = null!;
    private EtcdConnection _connection = null!;
    private KeyWatch _watch = null!;
    private Task _running = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdStub.StartAsync(_clock);
        _connection = new EtcdConnection(
            new ClusterOptions { Name = "edge", Etcd = [_etcd.Address], LeaseTime = TimeSpan.FromSeconds(60) }, _clock);
        _watch = new KeyWatch(new EtcdClient(_connection), "/lb/", Interval, _clock, new ClusterLog("edge", _log));
        _watch.Changed += change =>
        {
            lock (_changes)
            {
                _changes.Add(change);
            }
        };
        _stop = new CancellationTokenSource();
        _etcd.Put("/lb/a", "1");
        _running = _watch.RunAsync(_stop.Token);
        await _watch.Loaded;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _stop.Dispose();
        _connection.Dispose();
        await _etcd.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Run_KeysComeChangeAndGo_KnowsThem()
    {
        _etcd.Put("/lb/b", "2");
        _etcd.Put("/lb/a", "3");
        _etcd.Put("/lc", "4");
        _etcd.Delete("/lb/b");

        await Eventually.BeTrueAsync(() => Value("/lb/a") == "3" && _watch.Current.Keys.Count == 1, "it knows them");
        _watch.IsLive.Should().BeTrue();
    }

    [Test]
    public async Task Run_ChangesAreCompacted_ReadsAnew()
    {
        _etcd.IsDeaf = true;
        _etcd.Put("/lb/a", "2");
        _etcd.Compacted = _etcd.Revision + 1;
        _etcd.IsDeaf = false;
        _etcd.Put("/lb/a", "3"); // wakes the watch, which begins before what is gone

        await EventuallyAsync(() => Value("/lb/a") == "3");
    }

    [Test]
    public async Task Run_WatchIsDeaf_ReadsAnewAfterACheck()
    {
        _etcd.IsDeaf = true;
        _etcd.Put("/lb/a", "2");

        await EventuallyAsync(() => Value("/lb/a") == "2");

        _log.Lines.Should().Contain(line => line.Contains("says nothing, although keys have changed", StringComparison.Ordinal));
    }

    [Test]
    public async Task Run_WatchIsDeaf_UsesTheNextEndpointFromThenOn()
    {
        await using var other = await EtcdStub.StartAsync(_clock);
        other.Put("/lb/a", "1");
        using var connection = new EtcdConnection(
            new ClusterOptions { Name = "edge", Etcd = [_etcd.Address, other.Address], LeaseTime = TimeSpan.FromSeconds(60) }, _clock);
        var watch = new KeyWatch(new EtcdClient(connection), "/lb/", Interval, _clock, new ClusterLog("edge", _log));
        var running = watch.RunAsync(_stop.Token);
        await watch.Loaded;
        _etcd.IsDeaf = true;

        _etcd.Put("/lb/a", "2");
        other.Put("/lb/a", "2");
        await EventuallyAsync(() => connection.Endpoint == new Uri(other.Address));
        await EventuallyAsync(() => watch.Current.Keys["/lb/a"].Value == "2");
        other.Put("/lb/a", "3");

        await Eventually.BeTrueAsync(() => watch.Current.Keys["/lb/a"].Value == "3", "the watch tells it at once");
        await _stop.CancelAsync();
        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    [Test]
    public async Task Run_AChangeIsToldBeforeTheAnswerOfACheck_DoesNotReadAnew()
    {
        var (asked, go) = (new TaskCompletionSource(), new TaskCompletionSource());
        _etcd.BeforeAnswer = _ =>
        {
            asked.TrySetResult();
            return go.Task;
        };
        await Eventually.BeDoneAsync(asked.Task, _clock, TimeSpan.FromMilliseconds(100), "a check is answered");
        _etcd.Put("/lb/a", "2");
        await Eventually.BeTrueAsync(() => Value("/lb/a") == "2", "the change is told");
        var checks = _etcd.Served;

        go.SetResult();
        await EventuallyAsync(() => _etcd.Served >= checks + 2); // Two more checks.

        lock (_changes)
        {
            _changes.Should().ContainSingle(change => change.IsRead, "the keys were read once, at the start");
        }
    }

    [Test]
    public async Task Run_WatchIsDeafToADeletion_ReadsAnewAfterACheck()
    {
        _etcd.IsDeaf = true;
        _etcd.Delete("/lb/a");

        await EventuallyAsync(() => _watch.Current.Keys.IsEmpty);
    }

    [Test]
    public async Task Run_EtcdIsEmptyAndAtALowerRevision_SaysThatItWasRestored()
    {
        _etcd.Put("/lb/a", "2");
        await Eventually.BeTrueAsync(() => Value("/lb/a") == "2", "it knows the key");

        _etcd.Forget(1);

        await EventuallyAsync(() => _watch.Current.Keys.IsEmpty);
        _changes[^1].IsRestored.Should().BeTrue();
        _changes[^1].Before.Keys.Should().ContainKey("/lb/a");
    }

    [Test]
    public async Task Run_AnotherEtcdAtAHigherRevision_SaysThatItWasRestored()
    {
        _etcd.Forget(1000);
        _etcd.ClusterId = "8";

        await EventuallyAsync(() => _watch.Current.ClusterId == "8");

        _changes[^1].IsRestored.Should().BeTrue();
    }

    [Test]
    public async Task Run_EtcdIsGoneForAWhile_KeepsWhatItKnowsAndCatchesUp()
    {
        _etcd.Fault = _ => EtcdFault.Refused;
        _etcd.IsDeaf = true;
        _etcd.Put("/lb/a", "2");

        await EventuallyAsync(() => !_watch.IsLive);
        var meanwhile = Value("/lb/a");
        _etcd.Fault = _ => EtcdFault.None;
        await EventuallyAsync(() => _watch.IsLive && Value("/lb/a") == "2");

        meanwhile.Should().Be("1");
    }

    [Test]
    public async Task Run_HandlerFails_GoesOn()
    {
        _watch.Changed += _ => throw new InvalidOperationException("a bug");

        _etcd.Put("/lb/a", "2");
        await Eventually.BeTrueAsync(() => Value("/lb/a") == "2", "it knows the key");
        _etcd.Put("/lb/a", "3");
        await Eventually.BeTrueAsync(() => Value("/lb/a") == "3", "it still follows");

        _log.Lines.Should().Contain(
            line => line.Contains("applying changed keys goes on after an unexpected error", StringComparison.Ordinal));
    }

    [Test]
    public async Task Run_HandlerFails_OthersGetTheChange()
    {
        var revision = 0L;
        _watch.Changed += _ => throw new InvalidOperationException("a bug");
        _watch.Changed += change => Volatile.Write(ref revision, change.Now.Revision);

        _etcd.Put("/lb/a", "2");

        await Eventually.BeTrueAsync(() => Volatile.Read(ref revision) == _etcd.Revision, "the other handler has got it");
    }

    private string? Value(string key) => _watch.Current.Keys.GetValueOrDefault(key)?.Value;

    private Task EventuallyAsync(Func<bool> condition) => Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(50));
            return condition();
        },
        "it knows");
}
