using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Support;

/// <summary>Every policy, with randomness that is the same in each run.</summary>
internal static class TestPolicies
{
    public static IBalancingPolicy Make(PolicyName name, Random? random = null)
    {
        random ??= new Random(1);
        var stripes = random == Random.Shared ? Rotation.Stripes : 1;
        return name switch
        {
            PolicyName.RoundRobin => new RoundRobinPolicy(),
            PolicyName.LeastConnections => new LeastConnectionsPolicy(random, stripes),
            PolicyName.ResponseTime => new ResponseTimePolicy(random),
            PolicyName.IpHash => new HashPolicy("IpHash", random, run => run()),
            PolicyName.Hash => new HashPolicy("Hash", random, run => run()),
            PolicyName.Random => new RandomPolicy(random),
            PolicyName.PowerOfTwoChoices => new PowerOfTwoChoicesPolicy(random),
            PolicyName.First => new FirstPolicy(),
            PolicyName.HotCold => new HotColdPolicy(random, stripes),
        };
    }

    /// <summary>How often each backend is picked, by its slot in the pool; nothing is taken, so that all stay as they are.</summary>
    public static int[] Shares(BackendPool pool, int picks, Func<int, ulong>? client = null)
    {
        var snapshot = pool.Snapshot;
        var shares = new int[snapshot.Members.Length];
        for (var i = 0; i < picks; i++)
        {
            shares[snapshot.Policy.Pick(new SelectionContext(null, client?.Invoke(i) ?? ClientHash.Mix((ulong)i)))!.Slot]++;
        }
        return shares;
    }

    /// <summary>Counts so many requests as in flight.</summary>
    public static Backend WithInFlight(this Backend backend, int count)
    {
        for (var i = 0; i < count; i++)
        {
            backend.TryEnter(out _).Should().BeTrue();
        }
        return backend;
    }
}
