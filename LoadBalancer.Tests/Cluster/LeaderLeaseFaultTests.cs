using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>When a holder must give up its role. The server is scripted, and the clock is the test's.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class LeaderLeaseFaultTests : IAsyncDisposable
{
    private const string Main = "/lb/edge/main/store";
    private const string Term = "/lb/edge/terms/store";
    private static readonly TimeSpan Length = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Check = Length / 4; // how often a holder asks for its key

    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(250);

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private readonly CancellationTokenSource _stop = new();
    private SuspendedClock _suspended = null!;
    private EtcdStub _etcd = null!;
    private EtcdConnection _connection = null!;
    private EtcdClient _client = null!;
    private KeyWatch _keys = null!;
    private Task _watching = Task.CompletedTask;
    private LeaderLease _role = null!;
    private long _lease;
    private volatile bool _isShared; // with a process before this one
    private int _changes;

    // It holds the role, as after an upgrade.
    [SetUp]
    public async Task StartAsync()
    {
        _suspended = new SuspendedClock(_clock);
        _etcd = await EtcdStub.StartAsync(_clock);
        _connection = new EtcdConnection(new ClusterOptions { Name = "edge", Etcd = [_etcd.Address], LeaseTime = Length }, _clock);
        _client = new EtcdClient(_connection);
        var log = new ClusterLog("edge", _log);
        _keys = new KeyWatch(_client, "/lb/edge/", Length / 2, _suspended, log);
        _role = new LeaderLease(_client, _keys, "/lb/edge/", "Store", "a", "10.0.0.1", Length, _suspended, log)
        {
            IsShared = _ => _isShared,
        };
        _role.Changed += () => Interlocked.Increment(ref _changes);
        _lease = _etcd.Grant(Length);
        await _client.TransactAsync([], [EtcdChange.Put(Main, "{}", _lease), EtcdChange.Put(Term, "a")], null, default);
        _role.Start(_lease);
        await Eventually.BeTrueAsync(() => _role.IsHeld && _clock.TimersWithin(Check) == 1, "it has the role, and waits");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _role.Dispose();
        _connection.Dispose();
        _stop.Dispose();
        await _etcd.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task IsHeld_EtcdKeepsTheLeaseButDoesNotConfirmTheKey_EndsAfterFourFifths()
    {
        var start = _clock.GetTimestamp();
        _etcd.Fault = path => path.StartsWith("/v3/kv/", StringComparison.Ordinal) ? EtcdFault.Refused : EtcdFault.None;

        while (_clock.GetElapsedTime(start) < Length * 0.8)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System); // for the calls
        }

        _role.IsHeld.Should().BeFalse("another node may have taken it after a lease");
        _changes.Should().Be(2, "the broker is told");
        _etcd.Fault = _ => EtcdFault.None;
        await EventuallyAsync(() => _role.IsHeld);
    }

    [Test]
    public async Task Key_IsDeletedByAnOperator_IsWrittenAgain()
    {
        _etcd.Delete(Main);

        _clock.Advance(Check);

        await Eventually.BeTrueAsync(() => _etcd.Find(Main) is { } key && key.Lease == _lease, "the key is there again");
        (_role.IsHeld, _changes).Should().Be((true, 1));
    }

    [Test]
    public async Task Key_IsMissingAndAnotherOneHadTheRole_IsNotHeldWhileItWaits()
    {
        _etcd.Delete(Main);
        _etcd.Put(Term, "an earlier holder");

        _clock.Advance(Check);

        await Eventually.BeTrueAsync(() => !_role.IsHeld, "it gives up");
        _etcd.Find(Main).Should().BeNull("another node may wait for a lease, as this one does now");
    }

    [Test]
    public async Task Key_LeaseIsGoneAtEtcd_IsNotHeldFromWhenEtcdSaysSo()
    {
        _etcd.EndLease(_lease);

        _clock.Advance(Check); // The lease is kept alive only later.

        await Eventually.BeTrueAsync(() => !_role.IsHeld, "it gives up");
    }

    [Test]
    public async Task Etcd_CameBackFromABackup_IsNotHeld()
    {
        _watching = _keys.RunAsync(_stop.Token);
        await _keys.Loaded;

        _etcd.Forget(1);

        await EventuallyAsync(() => !_role.IsHeld);
        _changes.Should().Be(2);
    }

    [Test]
    public async Task CheckHeld_MachineWasSuspended_TellsAtOnceAndComesBackLater()
    {
        _suspended.Suspend(Length * 0.85);

        _role.CheckHeld().Should().BeFalse();

        _changes.Should().Be(2, "the timers know nothing of it");
        await EventuallyAsync(() => _role.CheckHeld());
        _changes.Should().Be(3);
    }

    [Test]
    public async Task HandOn_LeaseWasHandedOver_KeepsItAliveAndTakesNoOther()
    {
        _role.HandOver().Should().Be(_lease);
        _role.HandOn();

        _clock.Advance(Check);
        for (var i = 0; i < 60; i++)
        {
            await Eventually.BeTrueAsync(() => _clock.TimersWithin(Soon) > 0, "it waits for its next check");
            _clock.Advance(Soon);
        }
        _role.IsHeld.Should().BeTrue("it finishes its work");
        _etcd.EndLease(_lease); // The other process has given it back.
        await EventuallyAsync(() => !_role.IsHeld);

        var end = _clock.GetTimestamp();
        await EventuallyAsync(() => _clock.GetElapsedTime(end) > Length * 1.5);
        await _role.ReleaseAsync();
        _etcd.Find(Main).Should().BeNull();
        _etcd.Calls.Should().NotContain("/v3/lease/grant");
    }

    [Test]
    public async Task HandOn_WasNotHeldAtTheOffer_GivesItBackAtTheEnd()
    {
        _suspended.Suspend(Length * 0.85);
        _role.HandOver().Should().Be(0);
        await EventuallyAsync(() => _role.IsHeld);

        _role.HandOn();
        await _role.ReleaseAsync();

        _etcd.Find(Main).Should().BeNull("the process that has replaced it waits for the role");
    }

    [Test]
    public async Task Release_ProcessBeforeStillWorksUnderTheLease_IsNotEnded()
    {
        _isShared = true;

        var releasing = _role.ReleaseAsync();
        await Eventually.BeDoneAsync(releasing, _clock, TimeSpan.FromMilliseconds(50), "it waits no longer");

        _etcd.Find(Main).Should().NotBeNull("another node would be the main beside that process");
        _role.IsHeld.Should().BeFalse();
    }

    [Test]
    public async Task Release_ProcessBeforeEndsMeanwhile_IsEndedThen()
    {
        _isShared = true;
        var releasing = _role.ReleaseAsync();
        await Eventually.BeTrueAsync(() => !_role.IsHeld, "it is no more the main");
        _etcd.Find(Main).Should().NotBeNull();

        _isShared = false;
        await Eventually.BeDoneAsync(releasing, _clock, TimeSpan.FromMilliseconds(50), "it is given back");

        _etcd.Find(Main).Should().BeNull();
    }

    [Test]
    public async Task Yield_ProcessBeforeStillWorksUnderTheLease_IsNotEnded()
    {
        _isShared = true;

        await _role.YieldAsync();

        _etcd.Find(Main).Should().NotBeNull();
        _role.IsHeld.Should().BeFalse();
    }

    [Test]
    public async Task Release_LeaseWasHandedOver_IsNotEnded()
    {
        _role.HandOver().Should().Be(_lease);
        _role.HandOn();

        await _role.ReleaseAsync();

        _etcd.Find(Main).Should().NotBeNull();
    }

    private Task EventuallyAsync(Func<bool> condition) => Eventually.BeTrueAsync(
        () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(50));
            return condition();
        },
        "it is so");

    // Its timestamps count suspension, its timers do not.
    private sealed class SuspendedClock(FakeClock clock) : TimeProvider
    {
        private long _ticks;

        public override long TimestampFrequency => clock.TimestampFrequency;

        public void Suspend(TimeSpan time) => Interlocked.Add(ref _ticks, time.Ticks);

        public override long GetTimestamp() => clock.GetTimestamp() + Interlocked.Read(ref _ticks);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            clock.CreateTimer(callback, state, dueTime, period);
    }
}
