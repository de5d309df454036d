using LoadBalancer.Cluster;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Health;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Health.Probes;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Composition;

/// <summary>What becomes of pools when operators have changed something at some node of the cluster.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class SharedPoolsTests : IDisposable
{
    private static readonly OperatorChange Drain = new OperatorChange.Patch(true, AdminState.Draining, false, null);

    private readonly FakeClock _clock = new();
    private readonly List<IDisposable> _parts = [];
    private SharedState _state = SharedState.Empty;
    private SharedPools _shared = null!;
    private NodePools _pools = null!;
    private int _judged;

    public void Dispose() => _parts.ForEach(part => part.Dispose());

    [Test]
    public void Share_DrainAndWeight_AreAppliedAndKeepWhatTheBackendHas()
    {
        Start(StateCopy.Empty, Pool(("b1", 1), ("b2", 1)));
        var before = Web.Snapshot.Members[0];
        Change("b1", Drain);
        Change("b1", new OperatorChange.Patch(false, null, true, 7));

        _pools.Share(_state);

        Shown.Should().Be("b1 7 Draining, b2 1 Ready");
        Web.Snapshot.Members[0].Should().BeSameAs(before);
    }

    [Test]
    public void Share_AddedThenDeleted_FinishesWhatItHasAndIsRemoved()
    {
        Start(StateCopy.Empty, Pool(("b1", 1)));
        Change("b3", Add("b3", 3));
        _pools.Share(_state);
        Shown.Should().Be("b1 1 Ready, b3 2 Ready");
        var added = Web.Snapshot.Members[1];
        Web.TryAcquire(added, out var lease).Should().BeTrue();

        Change("b3", new OperatorChange.Delete());
        _pools.Share(_state);
        Shown.Should().Be("b1 1 Ready, b3 2 Draining");

        lease!.Complete(AttemptOutcome.Succeeded);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Shown.Should().Be("b1 1 Ready");
    }

    [Test]
    public void Share_AddedAgainWhileItLeaves_Stays()
    {
        Start(StateCopy.Empty, Pool(("b1", 1)));
        Change("b3", Add("b3", 3));
        _pools.Share(_state);
        var added = Web.Snapshot.Members[1];
        Web.TryAcquire(added, out var lease).Should().BeTrue();
        Change("b3", new OperatorChange.Delete());
        _pools.Share(_state);

        Change("b3", Add("b3", 3));
        _pools.Share(_state);
        lease!.Complete(AttemptOutcome.Succeeded);
        _clock.Advance(TimeSpan.FromSeconds(1));

        Shown.Should().Be("b1 1 Ready, b3 2 Ready");
        Web.Snapshot.Members[1].Should().BeSameAs(added);
    }

    [Test]
    public void Start_KnownFromTheCopy_BeginsSo()
    {
        Change("b1", Drain);
        Change("b3", Add("b3", 3));

        Start(StateCopy.Empty with { State = _state }, Pool(("b1", 1)));

        Shown.Should().Be("b1 1 Draining, b3 2 Ready");
        _judged.Should().BePositive("what the file said then must be kept");
    }

    [Test]
    public void Apply_FileSaysSomethingElse_HoldsAlsoAfterTheNextStart()
    {
        Start(StateCopy.Empty, Pool(("b1", 1), ("b2", 1)));
        Change("b1", Drain);
        Change("b2", Drain);
        Change("b3", Add("b3", 3));
        _pools.Share(_state);

        Apply(Pool(("b1", 1), ("b2", 5)));
        Shown.Should().Be("b1 1 Draining, b2 5 Draining, b3 2 Ready");
        Apply(Pool(("b1", 1), ("b2", 5)) with { Backends = With(Pool(("b1", 1), ("b2", 5)).Backends, "b1", AdminState.Disabled) });
        Shown.Should().Be("b1 1 Disabled, b2 5 Draining, b3 2 Ready");

        var copy = new StateCopy(_state, _shared.Judged, 1, null);
        Start(copy, Pool(("b1", 1), ("b2", 5)));
        Shown.Should().Be("b1 1 Ready, b2 5 Draining, b3 2 Ready", "the drain of b1 is over, whatever the file says now");
    }

    [Test]
    public void Share_OnePoolFails_OthersAreShared()
    {
        Start(StateCopy.Empty, Pool(("b1", 1)), "api", "web");
        _pools.Find("api")!.SnapshotChanged += _ => throw new InvalidOperationException("a bug");
        Change("b1", Drain);
        _state = _state.Merge(BackendKey.Of("api", "b1"), SharedBackend.None.With(Drain, _clock.GetUtcNow(), "a"));

        _pools.Share(_state);

        Shown.Should().Be("b1 1 Draining");
        _pools.Find("api")!.Snapshot.Members[0].AdminState.Should().Be(AdminState.Draining);
    }

    [Test]
    public void Share_PoolThatThisNodeDoesNotHave_IsKept()
    {
        Start(StateCopy.Empty, Pool(("b1", 1)));
        _state = _state.Merge(BackendKey.Of("other", "b1"), SharedBackend.None.With(Drain, _clock.GetUtcNow(), "a"));

        _pools.Share(_state);

        Shown.Should().Be("b1 1 Ready");
        _shared.State.Should().BeSameAs(_state);
    }

    private BackendPool Web => _pools.Find("web")!;

    private string Shown => string.Join(", ", Web.Snapshot.Members.Select(member => $"{member.Name} {member.Weight} {member.AdminState}"));

    private static Dictionary<string, BackendOptions> With(
        IReadOnlyDictionary<string, BackendOptions> backends, string name, AdminState state) =>
        backends.ToDictionary(entry => entry.Key, entry => entry.Key == name ? entry.Value with { AdminState = state } : entry.Value);

    private static OperatorChange.Put Add(string name, int port) => new(new AddedBackend(name, Address(port), 2, AdminState.Ready));

    private static EndpointAddress Address(int port) => new("http", "127.0.0.1", port);

    private static PoolOptions Pool(params (string Name, int Weight)[] backends) => new()
    {
        Backends = backends.ToDictionary(
            backend => backend.Name, backend => new BackendOptions { Address = Address(backend.Name[1]), Weight = backend.Weight }),
    };

    private void Change(string backend, OperatorChange change)
    {
        var key = BackendKey.Of("web", backend);
        _state = _state.Merge(key, _state.Find(key).With(change, _clock.GetUtcNow(), "a"));
    }

    private void Start(StateCopy copy, PoolOptions pool, params string[] names)
    {
        _shared = new SharedPools(copy) { JudgedChanged = () => _judged++ };
        var loggers = NullLoggerFactory.Instance;
        var sockets = Own(new ListenSockets());
        var health = Own(new HealthChecker(_clock, Random.Shared, loggers.CreateLogger<HealthChecker>()));
        var heartbeats = Own(new HeartbeatService(sockets, _clock, loggers.CreateLogger<HeartbeatService>()));
        var parts = new NodePoolParts(
            _clock, new HealthLog(loggers.CreateLogger<HealthLog>()), new ErrorStatistics(_clock), null!, loggers, default)
        {
            Shared = _shared,
        };
        _pools = Own(new NodePools(parts, health, heartbeats));
        Apply(pool, names);
    }

    private void Apply(PoolOptions pool, params string[] names)
    {
        lock (_pools.Gate)
        {
            using var change = _pools.Prepare(names.DefaultIfEmpty("web").ToDictionary(name => name, _ => pool));
            _pools.Commit(change);
            _pools.Retire(change);
        }
    }

    private T Own<T>(T part) where T : IDisposable
    {
        _parts.Insert(0, part);
        return part;
    }
}
