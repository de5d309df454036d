using LoadBalancer.Pools;

namespace LoadBalancer.Tasks;

/// <summary>The connection to a worker. Called while the dispatcher's gate is held: must not block.</summary>
internal interface IWorkerLink
{
    /// <summary>Sends the worker its <c>ACK</c>.</summary>
    void Acknowledge(Worker worker);

    /// <summary>Sends the worker a task.</summary>
    void Assign(TaskItem task);

    /// <summary>Whether the connection is broken, so that it will be closed.</summary>
    bool IsBroken { get; }

    /// <summary>
    /// Completes when the worker has read the tasks that it was sent, or cannot any more; at once if few bytes wait for it.
    /// </summary>
    Task WhenReadAsync();

    /// <summary>Sends the worker a reason, and closes its connection.</summary>
    void Close(string reason);

    /// <summary>Closes its connection; the worker has done nothing wrong.</summary>
    void LetGo(string reason);
}

/// <summary>A registered worker and the tasks that it has. Guarded by the dispatcher's gate.</summary>
internal sealed class Worker
{
    // A second answer to the same task is dropped silently if it is among this number of last answers.
    private const int RememberedAnswers = 64;

    private readonly int[] _answered = new int[RememberedAnswers]; // hashes of ids
    private readonly Dictionary<TaskItem, TaskAttempt> _attempts = new(TaskIdComparer.Instance);
    private readonly Dictionary<TaskItem, TaskAttempt>.AlternateLookup<ReadOnlySpan<byte>> _attemptsById;
    private long _taskBytes;

    /// <summary>Creates a worker.</summary>
    public Worker(string name, int capacity, IWorkerLink link, Backend backend)
    {
        (Name, Capacity, Link, Backend) = (name, capacity, link, backend);
        _attemptsById = _attempts.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    /// <summary>The name with which it has registered.</summary>
    public string Name { get; }

    /// <summary>How many tasks it takes at once.</summary>
    public int Capacity { get; }

    /// <summary>Its connection.</summary>
    public IWorkerLink Link { get; }

    /// <summary>Its backend in the pool.</summary>
    public Backend Backend { get; }

    /// <summary>Whether it was removed.</summary>
    public bool IsGone { get; set; }

    /// <summary>Whether it gets no tasks until it has read those that it was sent.</summary>
    public bool IsPaused { get; set; }

    /// <summary>The number of its tasks that have taken too long.</summary>
    public int Overdue { get; set; }

    /// <summary>How many times it has answered.</summary>
    public long Answers { get; set; }

    /// <summary>The total length of the lines of its tasks, in bytes; may be read without the gate.</summary>
    public long TaskBytes => Volatile.Read(ref _taskBytes);

    /// <summary>The tasks that it has, including overdue ones.</summary>
    public IReadOnlyCollection<TaskAttempt> Attempts => _attempts.Values;

    /// <summary>Whether it has a task of the same id.</summary>
    public bool Has(TaskItem task) => _attempts.ContainsKey(task);

    /// <summary>It gets a task.</summary>
    public void Begin(TaskAttempt attempt)
    {
        _attempts.Add(attempt.Task, attempt);
        Volatile.Write(ref _taskBytes, _taskBytes + attempt.Task.Line.Length);
    }

    /// <summary>It has answered.</summary>
    /// <returns>The attempt that has ended; null if it has no task of that id.</returns>
    public TaskAttempt? End(ReadOnlySpan<byte> id)
    {
        if (!_attemptsById.Remove(id, out var task, out var attempt))
        {
            return null;
        }
        Volatile.Write(ref _taskBytes, _taskBytes - task.Line.Length);
        _answered[Answers++ % RememberedAnswers] = task.IdHash;
        return attempt;
    }

    /// <summary>Whether it has answered this id not long ago.</summary>
    public bool HasAnswered(ReadOnlySpan<byte> id) =>
        _answered.AsSpan(0, (int)Math.Min(Answers, RememberedAnswers)).Contains(TaskIdComparer.HashOf(id));

    /// <summary>It has no tasks any more.</summary>
    public void Clear()
    {
        _attempts.Clear();
        Volatile.Write(ref _taskBytes, 0);
    }
}
