using LoadBalancer.Net;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// Limits how often unknown sources are answered, so that a flood of datagrams does not keep the node busy, and forged source addresses
/// do not make it flood others: at most ten answers a second for each bucket of sources. It cannot be predicted which sources share a
/// bucket, because the hash has a random seed.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class AnswerLimit(TimeProvider time)
{
    private const int MaxPerSecond = 10;
    private const int Buckets = 1024;

    private readonly (long Second, int Count)[] _buckets = new (long, int)[Buckets];

    /// <summary>Whether a source may be answered now; counts the answer.</summary>
    public bool TryTake(IpPort source)
    {
        ref var bucket = ref _buckets[HashCode.Combine(source.Ip, source.Port) & (Buckets - 1)];
        var second = time.GetTimestamp() / time.TimestampFrequency;
        bucket = bucket.Second == second ? (second, bucket.Count + 1) : (second, 1);
        return bucket.Count <= MaxPerSecond;
    }
}
