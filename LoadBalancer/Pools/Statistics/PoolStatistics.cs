namespace LoadBalancer.Pools.Statistics;

/// <summary>What a pool has done beyond what its backends count.</summary>
/// <param name="pool">The pool's name.</param>
public sealed class PoolStatistics(string pool)
{
    private long _retries;
    private long _hedges;
    private long _queueRefusals;

    /// <summary>Where each duration is recorded too, see <see cref="DurationInstruments"/>. Null, the default: nowhere.</summary>
    public DurationInstruments? Instruments { get; set; }

    /// <summary>The load balancer's own answers to requests for the pool.</summary>
    public AnswerStatistics OwnAnswers { get; } = new();

    /// <summary>Connections to be relayed that never reached a backend.</summary>
    public ConnectionStatistics Connections { get; } = new();

    /// <summary>Attempts at a further backend after one had failed.</summary>
    public long Retries => Interlocked.Read(ref _retries);

    /// <summary>Attempts at a second backend while the first took long.</summary>
    public long Hedges => Interlocked.Read(ref _hedges);

    /// <summary>What was rejected because the queue was full, or after it had waited for too long.</summary>
    public long QueueRefusals => Interlocked.Read(ref _queueRefusals);

    /// <summary>Counts an answer of the load balancer's own.</summary>
    /// <param name="status">Its status.</param>
    /// <param name="responseTime">Until its head was written.</param>
    /// <param name="duration">Until it had ended.</param>
    public void CountOwnAnswer(int status, TimeSpan responseTime, TimeSpan duration)
    {
        OwnAnswers.Count(status, responseTime, duration);
        Instruments?.RecordRequest(pool, "", status, duration);
    }

    /// <summary>Counts a retry.</summary>
    public void CountRetry() => Interlocked.Increment(ref _retries);

    /// <summary>Counts a hedge.</summary>
    public void CountHedge() => Interlocked.Increment(ref _hedges);

    /// <summary>Counts a rejection by the queue.</summary>
    public void CountQueueRefusal() => Interlocked.Increment(ref _queueRefusals);
}
