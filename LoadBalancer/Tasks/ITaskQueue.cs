namespace LoadBalancer.Tasks;

/// <summary>Where accepted tasks wait until a worker takes them, and the way back of their results.</summary>
internal interface ITaskQueue : IAsyncDisposable
{
    /// <summary>How many tasks wait for a worker, as far as this node knows.</summary>
    int Waiting { get; }

    /// <summary>Whether what waits at the end of this process will be worked on all the same.</summary>
    bool IsDurable { get; }

    /// <summary>Begins to give tasks to the dispatcher.</summary>
    void Start();

    /// <summary>Accepts a client's task. Under the dispatcher's gate.</summary>
    /// <returns>False where it would have to wait, and enough do.</returns>
    bool TryAdd(ClientTask task);

    /// <summary>The client of a task is gone. Under the dispatcher's gate.</summary>
    void Abandon(ClientTask task);
}

/// <summary>Tasks wait in this process, and end with it.</summary>
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
    public bool TryAdd(ClientTask task) => dispatcher.TryAdd(task, limit());

    /// <inheritdoc/>
    public void Abandon(ClientTask task) => dispatcher.Abandon(task);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
