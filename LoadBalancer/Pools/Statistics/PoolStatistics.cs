namespace LoadBalancer.Pools.Statistics;

/// <summary>What a pool has done beyond what its backends count.</summary>
public sealed class PoolStatistics
{
    private long _retries;
    private long _hedges;
    private long _queueRefusals;

    /// <summary>Answers of the load balancer's own to what was meant for the pool.</summary>
    public AnswerStatistics OwnAnswers { get; } = new();

    /// <summary>Connections to be relayed that never came to a backend.</summary>
    public ConnectionStatistics Connections { get; } = new();

    /// <summary>Attempts at a further backend after one had failed.</summary>
    public long Retries => Interlocked.Read(ref _retries);

    /// <summary>Attempts at a second backend while the first took long.</summary>
    public long Hedges => Interlocked.Read(ref _hedges);

    /// <summary>What was refused because the queue was full, or after it had waited for too long.</summary>
    public long QueueRefusals => Interlocked.Read(ref _queueRefusals);

    /// <summary>Counts a retry.</summary>
    public void CountRetry() => Interlocked.Increment(ref _retries);

    /// <summary>Counts a hedge.</summary>
    public void CountHedge() => Interlocked.Increment(ref _hedges);

    /// <summary>Counts a refusal.</summary>
    public void CountQueueRefusal() => Interlocked.Increment(ref _queueRefusals);
}
