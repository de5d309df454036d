namespace LoadBalancer.Tasks;

/// <summary>One task on its way to a result. What of it changes is guarded by the dispatcher's gate.</summary>
internal abstract class TaskItem
{
    private readonly int _idLength;

    /// <summary>Makes a task.</summary>
    /// <param name="id">What its client calls it.</param>
    /// <param name="data">What is to be worked on.</param>
    /// <param name="clientHash">What equal clients have in common.</param>
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

    /// <summary>What a worker is sent: <c>ASSIGN_TASK|id|data</c> with its end.</summary>
    public byte[] Line { get; }

    /// <summary>What its client calls it; other clients may call theirs the same.</summary>
    public ReadOnlySpan<byte> Id => Line.AsSpan("ASSIGN_TASK|".Length, _idLength);

    /// <summary>What is to be worked on.</summary>
    public ReadOnlySpan<byte> Data => Line.AsSpan(("ASSIGN_TASK|".Length + _idLength + 1)..^1);

    /// <summary>What equal ids have in common.</summary>
    public int IdHash { get; }

    /// <summary>What equal clients have in common.</summary>
    public ulong ClientHash { get; }

    /// <summary>How many workers it was given to.</summary>
    public int Attempts { get; set; }

    /// <summary>The attempt under way; null while it waits.</summary>
    public TaskAttempt? Attempt { get; set; }

    /// <summary>When it was accepted: a timestamp; 0 where that is not known yet.</summary>
    public long AcceptedAt { get; set; }

    /// <summary>Whether nobody wants its result any more.</summary>
    public bool IsAbandoned { get; set; }

    /// <summary>Its neighbours among those that wait.</summary>
    public Links<TaskItem> Waiting;

    /// <summary>It has come to its end. Under the dispatcher's gate: must not wait for anything.</summary>
    /// <param name="result">Its result, or <c>ERROR: …</c>.</param>
    /// <param name="isFailure">Whether no worker has finished it.</param>
    public abstract void Finish(ReadOnlySpan<byte> result, bool isFailure = false);
}

/// <summary>A task at one worker.</summary>
internal sealed class TaskAttempt(TaskItem task, Worker worker, Pools.BackendLease lease, long startedAt)
{
    /// <summary>The task.</summary>
    public TaskItem Task => task;

    /// <summary>Who works on it.</summary>
    public Worker Worker => worker;

    /// <summary>The worker's place that it takes.</summary>
    public Pools.BackendLease Lease => lease;

    /// <summary>When it began: a timestamp.</summary>
    public long StartedAt => startedAt;

    /// <summary>Whether it has taken too long, so that the task has gone to another worker, or has failed.</summary>
    public bool IsOverdue { get; set; }

    /// <summary>Its neighbours among those under way.</summary>
    public Links<TaskAttempt> Running;
}

/// <summary>Tells tasks apart by what their clients call them; they can be looked for by the bytes of an id.</summary>
internal sealed class TaskIdComparer : IEqualityComparer<TaskItem>, IAlternateEqualityComparer<ReadOnlySpan<byte>, TaskItem>
{
    /// <summary>The only one.</summary>
    public static TaskIdComparer Instance { get; } = new();

    /// <summary>The hash of an id; another one in each process, so that nobody can choose ids of the same hash.</summary>
    public static int HashOf(ReadOnlySpan<byte> id)
    {
        var hash = new HashCode();
        hash.AddBytes(id);
        return hash.ToHashCode();
    }

    /// <inheritdoc/>
    public bool Equals(TaskItem? x, TaskItem? y) => ReferenceEquals(x, y) || x is not null && y is not null && x.IdHash == y.IdHash && x.Id.SequenceEqual(y.Id);

    /// <inheritdoc/>
    public int GetHashCode(TaskItem obj) => obj.IdHash;

    /// <inheritdoc/>
    public bool Equals(ReadOnlySpan<byte> alternate, TaskItem other) => alternate.SequenceEqual(other.Id);

    /// <inheritdoc/>
    public int GetHashCode(ReadOnlySpan<byte> alternate) => HashOf(alternate);

    /// <inheritdoc/>
    public TaskItem Create(ReadOnlySpan<byte> alternate) => throw new NotSupportedException("an id alone is no task");
}
