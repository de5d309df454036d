using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>A role that only one node has at a time, over a real etcd. All the time a checker looks whether two nodes have it.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class LeaderLeaseTests : IAsyncDisposable
{
    private static readonly TimeSpan Length = TimeSpan.FromSeconds(2);

    private readonly List<Candidate> _candidates = [];
    private readonly CancellationTokenSource _stop = new();
    private EtcdServer _etcd = null!;
    private Task<int> _checking = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdServer.StartAsync();
        _checking = Task.Run(Check);
    }

    [TearDown]
    public async Task NeverWereThereTwoAsync()
    {
        await _stop.CancelAsync();
        (await _checking).Should().Be(0, "two nodes never have the role at once");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var candidate in _candidates)
        {
            await candidate.DisposeAsync();
        }
        await _etcd.DisposeAsync();
        _stop.Dispose();
    }

    [Test]
    public async Task Release_AnotherOneWants_HasItAtOnce()
    {
        var (a, b) = (Add("a"), Add("b"));
        await HeldByOneAsync();
        var (holder, other) = a.Role.IsHeld ? (a, b) : (b, a);
        await Eventually.BeTrueAsync(() => holder.Role.OtherCandidate == $"10.0.0.{other.Name}", "the holder knows the other candidate");
        holder.Role.OtherCandidate.Should().NotBe($"10.0.0.{holder.Name}");

        await holder.Role.ReleaseAsync();

        await Eventually.BeTrueAsync(() => other.Role.IsHeld, "the other one has it");
        holder.Role.IsHeld.Should().BeFalse();
        other.Changes.Should().Be(1);
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Holder_IsKilled_AnotherOneHasItAfterItsLease()
    {
        var (a, b) = (Add("a"), Add("b"));
        await HeldByOneAsync();
        var (holder, other) = a.Role.IsHeld ? (a, b) : (b, a);

        holder.Kill();

        await Eventually.BeTrueAsync(() => other.Role.IsHeld, "the other one has it");
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Holder_IsCutOff_StopsBeforeAnotherOneHasIt()
    {
        await using var relay = new SilentRelay(new Uri(_etcd.Address).Port);
        var a = Add("a", $"http://127.0.0.1:{relay.Port}");
        await HeldByOneAsync();
        var b = Add("b");

        relay.FallSilent();
        await Eventually.BeTrueAsync(() => b.Role.IsHeld, "the other one has it");
        a.Role.IsHeld.Should().BeFalse();
        relay.Recover();
        await Eventually.BeTrueAsync(() => b.Role.OtherCandidate is not null, "the first one is there again");

        b.Role.IsHeld.Should().BeTrue();
        a.Role.IsHeld.Should().BeFalse();
    }

    [Test]
    public async Task Key_IsDeletedByAnOperator_HolderWritesItAgain()
    {
        var (a, b) = (Add("a"), Add("b"));
        await HeldByOneAsync();
        var holder = a.Role.IsHeld ? a : b;
        for (var i = 0; i < 3; i++)
        {
            await b.Etcd.TransactAsync([], [EtcdChange.Delete("/lb/edge/main/store")], null, default);
            await Eventually.BeTrueAsync(
                async () => (await b.Etcd.GetAsync("/lb/edge/main/store", default)).Keys.Count == 1, "the key is there again");
        }
        var c = Add("c");
        await b.Etcd.TransactAsync([], [EtcdChange.Delete("/lb/edge/main/store")], null, default);
        await Eventually.BeTrueAsync(() => holder.Role.OtherCandidate is not null && c.Watch.IsLive, "the third one is there");
        await Eventually.BeTrueAsync(
            async () => (await b.Etcd.GetAsync("/lb/edge/main/store", default)).Keys.Count == 1, "the key is there again");

        holder.Role.IsHeld.Should().BeTrue();
    }

    [Test]
    public async Task Take_AnswerIsLost_HasItAllTheSame()
    {
        await using var relay = new AnswerLosingRelay(new Uri(_etcd.Address).Port);
        var a = Add("a", $"http://127.0.0.1:{relay.Port}");
        await Eventually.BeTrueAsync(
            async () => (await a.Etcd.ListAsync("/lb/edge/candidates/", default)).Keys.Count == 1, "it waits for a whole lease");

        relay.LoseAnswerTo("/v3/kv/txn");

        await Eventually.BeTrueAsync(() => a.Role.IsHeld, "it has found its key");
        relay.Lost.Should().Be(1);
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Etcd_ComesBackEmptyOrLate_OneHasItAgain()
    {
        Add("a");
        Add("b");
        Add("c");
        await HeldByOneAsync();
        for (var i = 0; i < 4; i++)
        {
            await _etcd.KillAsync();
            if (i % 2 == 0)
            {
                _etcd.DeleteData();
            }
            else
            {
                await Eventually.BeTrueAsync(() => _candidates.TrueForAll(candidate => !candidate.Role.IsHeld), "nobody is safe any more");
            }
            await _etcd.RestartAsync();
            await HeldByOneAsync();
        }
    }

    [Test]
    [Explicit("takes long; .ci/run runs it")]
    [Category("Long")]
    public async Task Holders_AreKilledCutOffAndReleasedAtRandom_AreNeverTwo()
    {
        var random = new Random(20261130);
        await using var relay = new SilentRelay(new Uri(_etcd.Address).Port);
        for (var i = 0; i < 20; i++)
        {
            while (_candidates.Count(candidate => !candidate.IsGone) < 3)
            {
                Add($"{i}-{_candidates.Count}", random.Next(2) == 0 ? $"http://127.0.0.1:{relay.Port}" : null);
            }
            await HeldByOneAsync();
            var holder = _candidates.Find(candidate => candidate.Role.IsHeld && !candidate.IsGone)!;
            TestContext.Out.WriteLine($"{i}: {holder.Name} has it");
            switch (random.Next(4))
            {
                case 0:
                    holder.Kill();
                    break;
                case 1:
                    holder.IsGone = true;
                    await holder.Role.ReleaseAsync();
                    break;
                case 2:
                    await holder.Etcd.TransactAsync([], [EtcdChange.Delete("/lb/edge/main/store")], null, default);
                    break;
                default:
                    relay.FallSilent();
                    await Eventually.BeTrueAsync(
                        () => _candidates.Exists(candidate => candidate.Role.IsHeld && !candidate.IsGone && !candidate.IsRelayed)
                            || _candidates.TrueForAll(candidate => candidate.IsGone || candidate.IsRelayed),
                        "one that is not cut off has it");
                    relay.Recover();
                    break;
            }
        }
    }

    private Task HeldByOneAsync() =>
        Eventually.BeTrueAsync(() => _candidates.Exists(candidate => candidate.Role.IsHeld && !candidate.IsGone), "one has it");

    private Candidate Add(string name, string? etcd = null)
    {
        var candidate = new Candidate(etcd ?? _etcd.Address, name, Length) { IsRelayed = etcd is not null };
        lock (_candidates)
        {
            _candidates.Add(candidate);
        }
        return candidate;
    }

    // Both must have it at one moment: the first one is asked before and after the second.
    private int Check()
    {
        var conflicts = 0;
        while (!_stop.IsCancellationRequested)
        {
            Candidate[] all;
            lock (_candidates)
            {
                all = [.. _candidates.Where(candidate => !candidate.IsGone)];
            }
            conflicts += all.Any(one => one.Role.IsHeld && all.Any(other => other != one && other.Role.IsHeld && one.Role.IsHeld)) ? 1 : 0;
            Thread.Yield();
        }
        return conflicts;
    }

    private sealed class Candidate : IAsyncDisposable
    {
        private readonly EtcdConnection _connection;
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _watching;
        private int _changes;

        public Candidate(string etcd, string name, TimeSpan length)
        {
            Name = name;
            _connection = new EtcdConnection(new ClusterOptions { Name = "edge", Etcd = [etcd], LeaseTime = length }, TimeProvider.System);
            Etcd = new EtcdClient(_connection);
            var (log, clock) = (new ClusterLog("edge", new LogRecorder()), SuspensionClock.Of(TimeProvider.System));
            Watch = new KeyWatch(Etcd, "/lb/edge/", length / 2, clock, log);
            Role = new LeaderLease(Etcd, Watch, "/lb/edge/", "store", name, $"10.0.0.{name}", length, clock, log);
            Role.Changed += () => Interlocked.Increment(ref _changes);
            _watching = Watch.RunAsync(_stop.Token);
            Role.Start(0);
        }

        public string Name { get; }

        public EtcdClient Etcd { get; }

        public KeyWatch Watch { get; }

        public LeaderLease Role { get; }

        public bool IsGone { get; set; }

        public bool IsRelayed { get; init; }

        public int Changes => Volatile.Read(ref _changes);

        public void Kill()
        {
            IsGone = true;
            Role.Dispose();
        }

        public async ValueTask DisposeAsync()
        {
            IsGone = true;
            Role.Dispose();
            await _stop.CancelAsync();
            await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _connection.Dispose();
            _stop.Dispose();
        }
    }
}
