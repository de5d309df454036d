using LoadBalancer.Balancing;
using LoadBalancer.Pools;

using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Balancing;

internal sealed class FirstPolicyTests
{
    [Test]
    public void Pick_Always_IsTheFirstThatHasRoom()
    {
        var (a, b) = (Unprobed("a", maxInFlight: 1), Unprobed("b", weight: 1000));
        var policy = PoolOf(new FirstPolicy(), a, b).Snapshot.Policy;

        policy.Pick(new SelectionContext()).Should().Be(a);
        policy.Pick(new SelectionContext()).Should().Be(a);
        a.TryEnter(out _).Should().BeTrue();
        policy.Pick(new SelectionContext()).Should().Be(b);
    }

    [Test]
    public void Pick_Nobody_IsNull() => new FirstPolicy().Pick(new SelectionContext()).Should().BeNull();
}
