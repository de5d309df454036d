namespace LoadBalancer.Tasks;

/// <summary>The queue in which accepted tasks wait for a worker, and through which their results come back.</summary>
internal interface ITaskQueue : IAsyncDisposable
{
    /// <summary>How many tasks wait for a worker, as far as this node knows.</summary>
    int Waiting { get; }

    /// <summary>Whether tasks that wait when this process ends will be done all the same.</summary>
    bool IsDurable { get; }

    /// <summary>Begins to give tasks to the dispatcher.</summary>
    void Start();

    /// <summary>Accepts a client's task. The caller holds the dispatcher's gate.</summary>
    /// <returns>False if it would have to wait and the queue is full.</returns>
    bool TryAddNeedsLock(ClientTask task);

    /// <summary>The client of a task has disconnected. The caller holds the dispatcher's gate.</summary>
    void AbandonNeedsLock(ClientTask task);
}

/// <summary>Tasks wait in the memory of this process, and are lost with it.</summary>
internal sealed class MemoryTaskQueue(TaskDispatcher dispatcher, Func<int> limit) : ITaskQueue
{
    /// <inheritdoc/>
    public int Waiting => dispatcher.Waiting;

    /// <inheritdoc/>
    public bool IsDurable => false;

    /// <inheritdoc/>
    public void Start()
    {
    }

    /// <inheritdoc/>
    public bool TryAddNeedsLock(ClientTask task) => dispatcher.TryAddNeedsLock(task, limit());

    /// <inheritdoc/>
    public void AbandonNeedsLock(ClientTask task) => dispatcher.AbandonNeedsLock(task);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
