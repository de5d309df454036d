namespace LoadBalancer.Discovery;

/// <summary>How often the names of one pool were looked up, by how that has ended. Any thread may call anything.</summary>
internal sealed class LookupCounts
{
    private readonly long[] _counts = new long[Enum.GetValues<LookupResult>().Length];

    /// <summary>What was counted.</summary>
    public IEnumerable<(LookupResult Result, long Count)> All =>
        Enum.GetValues<LookupResult>().Select(result => (result, Interlocked.Read(ref _counts[(int)result])));

    /// <summary>Counts one.</summary>
    public void Add(LookupResult result) => Interlocked.Increment(ref _counts[(int)result]);
}
