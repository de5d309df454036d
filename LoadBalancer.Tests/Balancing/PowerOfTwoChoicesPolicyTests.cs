using LoadBalancer.Balancing;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class PowerOfTwoChoicesPolicyTests
{
    [Test]
    public void Pick_OfTwo_IsAlwaysTheLessBusyForItsWeight()
    {
        var (a, b) = (Unprobed("a", weight: 3), Unprobed("b", weight: 1));
        var pool = PoolOf(new PowerOfTwoChoicesPolicy(new Random(1)), a, b);

        a.WithInFlight(4);
        b.WithInFlight(1);
        TestPolicies.Shares(pool, 100).Should().Equal(0, 100);
        b.WithInFlight(1);
        TestPolicies.Shares(pool, 100).Should().Equal(100, 0);
    }

    [Test]
    public void Pick_TheBusiest_IsNeverChosen()
    {
        var backends = Enumerable.Range(0, 10).Select(i => Unprobed($"b{i}")).ToArray();
        var pool = PoolOf(new PowerOfTwoChoicesPolicy(new Random(1)), backends);
        backends[3].WithInFlight(1);

        TestPolicies.Shares(pool, 1000)[3].Should().Be(0, "it loses against every other");
    }

    [Test]
    public void Pick_TheOnlyOneLeft_IsChosen()
    {
        var (a, b) = (Unprobed("a"), Unprobed("b"));

        PoolOf(new PowerOfTwoChoicesPolicy(new Random(1)), a, b).Snapshot.Policy.Pick(new SelectionContext([a])).Should().Be(b);
    }
}
