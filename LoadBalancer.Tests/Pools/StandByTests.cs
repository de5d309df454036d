using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Pools;

/// <summary>Backends of a higher tier, such as backups: who is chosen while others are there, are gone, or come back.</summary>
internal sealed class StandByTests
{
    private readonly FakeClock _clock = new();

    [Test]
    public void TryAcquire_OthersGoAndComeBack_BackupServesOnlyMeanwhile([Values] PolicyName name, [Values(1, 12)] int each)
    {
        var primaries = Enumerable.Range(0, each).Select(i => Unprobed($"a{i}")).ToArray();
        var backups = Enumerable.Range(0, each).Select(i => Backup($"b{i}")).ToArray();
        var pool = PoolOf(TestPolicies.Make(name), [.. backups, .. primaries]);

        ChosenOf(pool).Should().BeSubsetOf(primaries);
        pool.Change(() => Array.ForEach(primaries, backend => backend.AdminState = AdminState.Draining));
        ChosenOf(pool).Should().BeSubsetOf(backups);
        pool.Change(() => primaries[0].AdminState = AdminState.Ready);
        ChosenOf(pool).Should().Equal(primaries[0]);
        pool.Change(() => primaries[0].Weight = 0);
        ChosenOf(pool).Should().BeSubsetOf(backups);
    }

    [Test]
    public void TryAcquire_SeveralTiers_TheLowestThatIsThereServes()
    {
        var backends = new[] { Tiered("c", Backend.BackupTier), Tiered("b", 20), Tiered("a", 10) };
        var pool = PoolOf(backends);

        foreach (var expected in backends.Reverse())
        {
            ChosenOf(pool).Should().Equal(expected);
            pool.Change(() => expected.AdminState = AdminState.Disabled);
        }
        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();
    }

    [Test]
    public void TryAcquire_OtherIsFull_BackupStaysOut()
    {
        var pool = PoolOf(Unprobed("a", maxInFlight: 1), Backup("b"));

        pool.TryAcquire(new SelectionContext(), out _).Should().BeTrue();

        pool.TryAcquire(new SelectionContext(), out _).Should().BeFalse();
        pool.HasUntried(new SelectionContext()).Should().BeTrue("it is worth waiting for the other");
    }

    [Test]
    public async Task Acquire_OtherIsFullAndGoes_WhoWaitedGetsTheBackup()
    {
        var primary = Unprobed("a", maxInFlight: 1);
        var backup = Backup("b");
        var pool = new BackendPool("pool", new RoundRobinPolicy(), [primary, backup], 5);
        await AcquireAsync(pool);
        var waiting = AcquireAsync(pool);
        waiting.IsCompleted.Should().BeFalse();

        pool.Change(() => primary.AdminState = AdminState.Draining);

        (await waiting).Lease!.Backend.Should().Be(backup);
    }

    [Test]
    public void TryAcquire_EveryOtherWasTried_BackupIsNext()
    {
        var (a, b, full, backup, last) =
            (Unprobed("a"), Unprobed("b"), Unprobed("full", maxInFlight: 1), Backup("backup"), Tiered("last", Backend.BackupTier + 1));
        var pool = PoolOf(a, b, full, backup, last);
        full.WithInFlight(1);

        pool.TryAcquire(new SelectionContext([a, b]), out _).Should().BeFalse("one is only full");
        Choose(pool, new SelectionContext([a, b, full])).Should().Be(backup);
        Choose(pool, new SelectionContext([a, b, full, backup])).Should().Be(last);
        pool.TryAcquire(new SelectionContext([a, b, full, backup, last]), out _).Should().BeFalse();
        pool.HasUntried(new SelectionContext([a, b, full, backup, last])).Should().BeFalse();
    }

    [Test]
    public void TryAcquire_Hedge_DoesNotUseABackup()
    {
        var primary = Unprobed("a");
        var pool = PoolOf(primary, Backup("b"));
        var hedge = new SelectionContext([primary], isHedge: true);

        pool.HasUntried(hedge).Should().BeFalse();
        pool.TryAcquire(hedge, out _).Should().BeFalse();
    }

    [Test]
    public void TryAcquire_OfOnesOwn_LeavesABackupWhenAnotherIsThere()
    {
        var (primary, backup) = (Unprobed("a"), Backup("b"));
        var pool = PoolOf(primary, backup);

        pool.TryAcquire(backup, out _).Should().BeFalse();
        pool.Change(() => primary.AdminState = AdminState.Draining);
        pool.TryAcquire(backup, out _).Should().BeTrue();
        pool.TryAcquire(primary, out _).Should().BeTrue("it still serves its own clients");
    }

    [TestCase(true, "a")]
    [TestCase(false, "b")]
    public async Task Acquire_BackupIsProbedFirst_WaitsForTheOther(bool isOtherUp, string expected)
    {
        var (primary, backup) = (Probed("a"), Probed("b"));
        backup.Tier = Backend.BackupTier;
        var pool = PoolOf(primary, backup);
        pool.ObserveProbe(backup, true, "is up");
        var waiting = AcquireAsync(pool);
        waiting.IsCompleted.Should().BeFalse();

        pool.ObserveProbe(primary, isOtherUp, "");

        (await waiting).Lease!.Backend.Name.Should().Be(expected);
    }

    [Test]
    public void TryAcquire_AnotherJoinsAndIsNotProbedYet_BackupServesOn()
    {
        var (primary, backup) = (Probed("a"), Probed("b"));
        backup.Tier = Backend.BackupTier;
        var pool = PoolOf(primary, backup);
        pool.ObserveProbe(primary, false, "is down");
        pool.ObserveProbe(backup, true, "is up");

        pool.ChangeMembers(members => members.Add(Probed("new")));

        Choose(pool, new SelectionContext()).Should().Be(backup);
    }

    [Test]
    public void Complete_LastOfItsTierFails_IsEjectedForThereIsABackup()
    {
        var (primary, backup) = (Unprobed("a"), Backup("b"));
        var pool = PoolOf(primary, backup);

        for (var i = 0; i < 3; i++)
        {
            pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
            lease!.Complete(AttemptOutcome.Failed, "broke off");
        }

        Choose(pool, new SelectionContext()).Should().Be(backup);
    }

    private static Backend Backup(string name) => Tiered(name, Backend.BackupTier);

    private static Backend Tiered(string name, int tier)
    {
        var backend = Unprobed(name);
        backend.Tier = tier;
        return backend;
    }

    private static List<Backend> ChosenOf(BackendPool pool) =>
        [.. Enumerable.Range(0, 50).Select(i => Choose(pool, new SelectionContext(null, ClientHash.Mix((ulong)i)))).Distinct()];

    private static Backend Choose(BackendPool pool, SelectionContext context)
    {
        pool.TryAcquire(context, out var lease).Should().BeTrue();
        lease!.Dispose();
        return lease.Backend;
    }

    private Task<Admission> AcquireAsync(BackendPool pool) =>
        pool.AcquireAsync(new SelectionContext(), TimeSpan.FromSeconds(5), _clock, default).AsTask();
}
