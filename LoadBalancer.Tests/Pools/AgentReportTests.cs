using LoadBalancer.Pools;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Pools;

/// <summary>What an agent wants of a backend, beside what the operator wants.</summary>
internal sealed class AgentReportTests
{
    [TestCase(AdminState.Ready, AdminState.Ready, true, true)]
    [TestCase(AdminState.Ready, AdminState.Draining, false, true)]
    [TestCase(AdminState.Ready, AdminState.Disabled, false, false)]
    [TestCase(AdminState.Draining, AdminState.Ready, false, true)]
    [TestCase(AdminState.Disabled, AdminState.Ready, false, false)]
    [TestCase(AdminState.Disabled, AdminState.Draining, false, false)]
    public void State_OfOperatorAndAgent_BothMustAllowIt(AdminState wanted, AdminState agent, bool isEligible, bool servesItsOwn)
    {
        var backend = Unprobed("a");
        var pool = PoolOf(backend);

        pool.Change(() => (backend.AdminState, backend.Agent) = (wanted, AgentReport.None with { State = agent }));

        pool.Snapshot.Eligible.Contains(backend).Should().Be(isEligible);
        pool.TryAcquire(backend, out _).Should().Be(servesItsOwn);
    }

    [TestCase(4, 100, 400)]
    [TestCase(4, 75, 300)]
    [TestCase(4, 250, 1000)]
    [TestCase(1000, 100_000, 100_000)]
    [TestCase(4, 1, 4)]
    public void Share_OfTheWeight_Counts(int weight, int share, int expected)
    {
        var backend = Unprobed("a", weight);

        backend.Agent = AgentReport.None with { Share = share };

        backend.EffectiveWeight.Should().Be(expected);
        backend.Weight.Should().Be(weight, "it is the operator's");
    }

    [Test]
    public void Share_Zero_TakesItOutButNotFromItsOwn()
    {
        var backend = Unprobed("a");
        var pool = PoolOf(backend);

        pool.Change(() => backend.Agent = AgentReport.None with { Share = 0 });

        pool.Snapshot.Eligible.Should().BeEmpty();
        pool.TryAcquire(backend, out _).Should().BeTrue();
    }

    [TestCase(null, null, null)]
    [TestCase(2, null, 2)]
    [TestCase(null, 1, 1)]
    [TestCase(2, 1, 1)]
    [TestCase(1, 2, 1)]
    public void Limit_OfOperatorAndAgent_TheLowerHolds(int? own, int? agent, int? expected)
    {
        var backend = Unprobed("a", maxInFlight: own);
        var pool = PoolOf(backend);
        pool.Change(() => backend.Agent = AgentReport.None with { Limit = agent });

        var taken = Enumerable.Range(0, 3).Count(_ => pool.TryAcquire(new SelectionContext(), out var _));

        taken.Should().Be(expected ?? 3);
        backend.MaxInFlight.Should().Be(own);
    }
}
