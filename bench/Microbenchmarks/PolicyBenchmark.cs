using System.Collections.Immutable;
using BenchmarkDotNet.Attributes;
using LoadBalancer.Balancing;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Bench;

/// <summary>
/// One choice among all backends of a pool, for the first attempt of a request: while all backends are idle, and while all are about
/// equally busy.
/// </summary>
[MemoryDiagnoser]
[MinColumn, MedianColumn] // other programs on the machine distort the mean
public class PolicyBenchmark
{
    private readonly ulong[] _clients = [.. Enumerable.Range(0, 4096).Select(i => ClientHash.Mix((ulong)i))];
    private IBalancingPolicy _policy = null!;
    private int _next;

    [Params("RoundRobin", "LeastConnections", "ResponseTime", "IpHash", "Random", "PowerOfTwoChoices", "First", "HotCold")]
    public string Policy { get; set; } = "";

    [Params(2, 1000)]
    public int Backends { get; set; }

    [Params(false, true)]
    public bool Busy { get; set; }

    [GlobalSetup]
    public void SetUp()
    {
        IBalancingPolicy policy = Policy switch
        {
            "RoundRobin" => new RoundRobinPolicy(),
            "LeastConnections" => new LeastConnectionsPolicy(Random.Shared),
            "ResponseTime" => new ResponseTimePolicy(Random.Shared),
            "IpHash" => new HashPolicy("IpHash", Random.Shared),
            "Random" => new RandomPolicy(Random.Shared),
            "PowerOfTwoChoices" => new PowerOfTwoChoicesPolicy(Random.Shared),
            "HotCold" => new HotColdPolicy(Random.Shared),
            _ => new FirstPolicy(),
        };
        var backends = Enumerable.Range(0, Backends)
            .Select(i => new Backend(
                $"backend{i}",
                new EndpointAddress("http", "127.0.0.1", 1),
                new BackendHealth(new HealthRules(), TimeProvider.System)))
            .ToImmutableArray();
        var pool = new BackendPool("pool", policy, backends);
        var random = new Random(1);
        foreach (var backend in backends)
        {
            var time = TimeSpan.FromMilliseconds(10 + random.Next(10));
            backend.ResponseTime.Observe(time);
            backend.Expected?.Observe( // of HotCold only
                ExpectedTimes.Entry(Busy ? 3 : 0), time.TotalSeconds, ExpectedTimes.Milliseconds(TimeProvider.System));
            for (var i = Busy ? 3 + random.Next(4) : 0; i > 0; i--)
            {
                backend.TryEnter(out _);
            }
        }
        _policy = pool.Snapshot.Policy;
    }

    [Benchmark]
    public Backend? Pick() => _policy.Pick(new SelectionContext(null, _clients[_next++ & 4095]));
}
