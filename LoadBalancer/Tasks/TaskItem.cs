namespace LoadBalancer.Tasks;

/// <summary>One task until its result. Its mutable state is guarded by the dispatcher's gate.</summary>
internal abstract class TaskItem
{
    private readonly int _idLength;

    /// <summary>Creates a task.</summary>
    /// <param name="id">The id that its client has given it.</param>
    /// <param name="data">The data for the worker.</param>
    /// <param name="clientHash">The hash of the client's address.</param>
    protected TaskItem(ReadOnlySpan<byte> id, ReadOnlySpan<byte> data, ulong clientHash)
    {
        var command = "ASSIGN_TASK|"u8;
        Line = new byte[command.Length + id.Length + 1 + data.Length + 1];
        command.CopyTo(Line);
        id.CopyTo(Line.AsSpan(command.Length));
        Line[command.Length + id.Length] = (byte)'|';
        data.CopyTo(Line.AsSpan(command.Length + id.Length + 1));
        Line[^1] = (byte)'\n';
        (_idLength, ClientHash, IdHash) = (id.Length, clientHash, TaskIdComparer.HashOf(id));
    }

    /// <summary>The line for the worker: <c>ASSIGN_TASK|id|data</c> with its line end.</summary>
    public byte[] Line { get; }

    /// <summary>The id that its client has given it; other clients may use the same id.</summary>
    public ReadOnlySpan<byte> Id => Line.AsSpan("ASSIGN_TASK|".Length, _idLength);

    /// <summary>The data for the worker.</summary>
    public ReadOnlySpan<byte> Data => Line.AsSpan(("ASSIGN_TASK|".Length + _idLength + 1)..^1);

    /// <summary>The hash of the id.</summary>
    public int IdHash { get; }

    /// <summary>The hash of the client's address.</summary>
    public ulong ClientHash { get; }

    /// <summary>How many times it was assigned to a worker.</summary>
    public int Attempts { get; set; }

    /// <summary>The present attempt; null while it waits.</summary>
    public TaskAttempt? Attempt { get; set; }

    /// <summary>Timestamp of when it was accepted; 0 if that is not known yet.</summary>
    public long AcceptedAt { get; set; }

    /// <summary>Whether its result is no longer wanted.</summary>
    public bool IsAbandoned { get; set; }

    /// <summary>Its links in the queue of waiting tasks.</summary>
    public Links<TaskItem> Waiting;

    /// <summary>Called when the task is over; the dispatcher's gate is held, so it must not block.</summary>
    /// <param name="result">Its result, or <c>ERROR: …</c>.</param>
    /// <param name="isFailure">Whether it was given up.</param>
    public abstract void FinishNeedsLock(ReadOnlySpan<byte> result, bool isFailure = false);
}

/// <summary>The assignment of a task to one worker.</summary>
internal sealed class TaskAttempt(TaskItem task, Worker worker, Pools.BackendLease lease, long startedAt)
{
    /// <summary>The task.</summary>
    public TaskItem Task => task;

    /// <summary>The worker that has it.</summary>
    public Worker Worker => worker;

    /// <summary>The lease on the worker.</summary>
    public Pools.BackendLease Lease => lease;

    /// <summary>Timestamp of when it began.</summary>
    public long StartedAt => startedAt;

    /// <summary>Whether it has taken too long, so that the task has gone to another worker, or has failed.</summary>
    public bool IsOverdue { get; set; }

    /// <summary>Its links in the queue of running attempts.</summary>
    public Links<TaskAttempt> Running;
}

/// <summary>Compares tasks by id; a task can be found by the bytes of its id.</summary>
internal sealed class TaskIdComparer : IEqualityComparer<TaskItem>, IAlternateEqualityComparer<ReadOnlySpan<byte>, TaskItem>
{
    /// <summary>The only instance.</summary>
    public static TaskIdComparer Instance { get; } = new();

    /// <summary>The hash of an id. Its seed differs in each process, so that clients cannot choose ids with equal hashes.</summary>
    public static int HashOf(ReadOnlySpan<byte> id)
    {
        var hash = new HashCode();
        hash.AddBytes(id);
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public bool Equals(TaskItem? x, TaskItem? y) =>
        ReferenceEquals(x, y) || x is not null && y is not null && x.IdHash == y.IdHash && x.Id.SequenceEqual(y.Id);

    /// <inheritdoc/>
    public int GetHashCode(TaskItem obj) => obj.IdHash;

    /// <inheritdoc/>
    public bool Equals(ReadOnlySpan<byte> alternate, TaskItem other) => alternate.SequenceEqual(other.Id);

    /// <inheritdoc/>
    public int GetHashCode(ReadOnlySpan<byte> alternate) => HashOf(alternate);

    /// <inheritdoc/>
    public TaskItem Create(ReadOnlySpan<byte> alternate) => throw new NotSupportedException("an id alone is no task");
}
