using LoadBalancer.Net;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// Holds down how often strangers are answered, so that a flood neither keeps the node busy nor makes it flood whoever the sources
/// were forged to be: so many times a second each, where strangers that fall into the same bucket count as one. Which ones do nobody can
/// foresee, for the hash has a random seed.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class AnswerLimit(TimeProvider time)
{
    private const int MostInASecond = 10;
    private const int Buckets = 1024;

    private readonly (long Second, int Count)[] _buckets = new (long, int)[Buckets];

    /// <summary>Whether this one may be answered now.</summary>
    public bool TryTake(IpPort source)
    {
        ref var bucket = ref _buckets[HashCode.Combine(source.Ip, source.Port) & (Buckets - 1)];
        var second = time.GetTimestamp() / time.TimestampFrequency;
        bucket = bucket.Second == second ? (second, bucket.Count + 1) : (second, 1);
        return bucket.Count <= MostInASecond;
    }
}
