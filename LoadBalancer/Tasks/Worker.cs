using LoadBalancer.Pools;

namespace LoadBalancer.Tasks;

/// <summary>The way to a worker. Called under the dispatcher's gate: must not wait for anything.</summary>
internal interface IWorkerLink
{
    /// <summary>It takes part from now on.</summary>
    void Acknowledge(Worker worker);

    /// <summary>It is to work on this.</summary>
    void Assign(TaskItem task);

    /// <summary>It takes part no longer; the reason is for it, where it may still read it.</summary>
    void Close(string reason);
}

/// <summary>A worker that has registered, and what it works on. Guarded by the dispatcher's gate.</summary>
internal sealed class Worker
{
    // What it answers twice is dropped without a word as long as it is among the last so many answers.
    private const int RememberedAnswers = 64;

    private readonly int[] _answered = new int[RememberedAnswers]; // hashes of ids
    private readonly Dictionary<TaskItem, TaskAttempt> _attempts = new(TaskIdComparer.Instance);
    private readonly Dictionary<TaskItem, TaskAttempt>.AlternateLookup<ReadOnlySpan<byte>> _attemptsById;
    private long _taskBytes;

    /// <summary>Makes a worker.</summary>
    public Worker(string name, int capacity, IWorkerLink link, Backend backend)
    {
        (Name, Capacity, Link, Backend) = (name, capacity, link, backend);
        _attemptsById = _attempts.GetAlternateLookup<ReadOnlySpan<byte>>();
    }

    /// <summary>What it calls itself.</summary>
    public string Name { get; }

    /// <summary>How many tasks it takes at once.</summary>
    public int Capacity { get; }

    /// <summary>The way to it.</summary>
    public IWorkerLink Link { get; }

    /// <summary>What the pool knows it by.</summary>
    public Backend Backend { get; }

    /// <summary>Whether it takes part no longer.</summary>
    public bool IsGone { get; set; }

    /// <summary>How many tasks it keeps that have taken too long.</summary>
    public int Overdue { get; set; }

    /// <summary>How many times it has answered.</summary>
    public long Answers { get; set; }

    /// <summary>How long the lines of what it works on are together, in bytes; may be read by anybody.</summary>
    public long TaskBytes => Volatile.Read(ref _taskBytes);

    /// <summary>What it works on, what is overdue included.</summary>
    public IReadOnlyCollection<TaskAttempt> Attempts => _attempts.Values;

    /// <summary>Whether it works on a task of the same id.</summary>
    public bool Has(TaskItem task) => _attempts.ContainsKey(task);

    /// <summary>It begins to work on a task.</summary>
    public void Begin(TaskAttempt attempt)
    {
        _attempts.Add(attempt.Task, attempt);
        Volatile.Write(ref _taskBytes, _taskBytes + attempt.Task.Line.Length);
    }

    /// <summary>It has answered.</summary>
    /// <returns>What it had been working on; null where it works on nothing of that id.</returns>
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

    /// <summary>Whether it has answered this one before, not long ago.</summary>
    public bool HasAnswered(ReadOnlySpan<byte> id) => _answered.AsSpan(0, (int)Math.Min(Answers, RememberedAnswers)).Contains(TaskIdComparer.HashOf(id));

    /// <summary>It works on nothing any more.</summary>
    public void Clear()
    {
        _attempts.Clear();
        Volatile.Write(ref _taskBytes, 0);
    }
}
