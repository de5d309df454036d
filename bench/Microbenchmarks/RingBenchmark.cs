using BenchmarkDotNet.Attributes;
using LoadBalancer.Balancing;

namespace LoadBalancer.Bench;

/// <summary>Builds the ring of the policy Hash, as it happens once for each change of a pool.</summary>
[MemoryDiagnoser]
[MinColumn, MedianColumn] // other programs on the machine distort the mean
public class RingBenchmark
{
    private (string Name, int Weight)[] _candidates = [];

    [Params(10, 1000, 10_000)]
    public int Backends { get; set; }

    [GlobalSetup]
    public void SetUp() => _candidates = [.. Enumerable.Range(0, Backends).Select(i => ($"backend{i}", 100))];

    [Benchmark]
    public object Build() => new HashRing(_candidates, 100);
}
