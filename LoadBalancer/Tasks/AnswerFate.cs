namespace LoadBalancer.Tasks;

/// <summary>What happened to a worker's answer.</summary>
internal enum AnswerFate
{
    /// <summary>It was the result of a task that the worker had.</summary>
    Taken,

    /// <summary>It came too late, or twice.</summary>
    Dropped,

    /// <summary>The worker has no such task.</summary>
    UnknownTask,
}
