using LoadBalancer.Pools.Statistics;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>A client's task. Its result goes to the client, if that is still there.</summary>
internal sealed class ClientTask(ClientSession client, ReadOnlySpan<byte> id, ReadOnlySpan<byte> data) : TaskItem(id, data, client.ClientHash)
{
    /// <summary>What the engine of the queue calls it, where that calls it anything.</summary>
    public long Number { get; set; }

    /// <inheritdoc/>
    public override void Finish(ReadOnlySpan<byte> result, bool isFailure = false) => client.Answer(this, result);
}

/// <summary>A connection of a client.</summary>
internal sealed class ClientSession : LineSession
{
    // How often it is looked whether a client that sends nothing more is still there to get its results.
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(1);

    private readonly TaskDispatcher _dispatcher;
    private readonly ITaskQueue _queue;
    private readonly PoolStatistics _statistics;
    private readonly TimeProvider _time;
    private readonly HashSet<TaskItem> _tasks = new(TaskIdComparer.Instance); // without a result yet; guarded by the gate, as the rest
    private readonly HashSet<TaskItem>.AlternateLookup<ReadOnlySpan<byte>> _tasksById;
    private readonly TaskCompletionSource _allAnswered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _hasFinished;
    private bool _isGone;
    private bool _hasSpoken;

    /// <summary>Takes over a connection.</summary>
    public ClientSession(AcceptedConnection connection, SessionSettings settings, TaskDispatcher dispatcher, ITaskQueue queue, PoolStatistics statistics)
        : base(connection, settings)
    {
        (_dispatcher, _queue, _statistics, _time) = (dispatcher, queue, statistics, settings.Time);
        _tasksById = _tasks.GetAlternateLookup<ReadOnlySpan<byte>>();
        ClientHash = Pools.ClientHash.Of(connection.Remote.Address);
    }

    /// <summary>What equal clients have in common.</summary>
    public ulong ClientHash { get; }

    /// <summary>How many of its tasks have no result yet.</summary>
    public int Unanswered => _tasks.Count;

    /// <summary>Whether new tasks are refused, for the end is near.</summary>
    public bool IsStopping { get; set; }

    /// <summary>Sends a result. Under the gate; what nobody waits for is dropped.</summary>
    public void Answer(ClientTask task, ReadOnlySpan<byte> result)
    {
        if (_isGone || !_tasks.Remove(task))
        {
            return;
        }
        SendResult(task.Id, result);
        if (_hasFinished && _tasks.Count == 0)
        {
            _allAnswered.TrySetResult();
        }
    }

    /// <summary>Answers all that has no result yet. Under the gate.</summary>
    public void AnswerAll(ReadOnlySpan<byte> result)
    {
        foreach (var task in _tasks.Cast<ClientTask>().ToList())
        {
            _queue.Abandon(task);
            Answer(task, result);
        }
    }

    /// <inheritdoc/>
    protected override void OnLine(ReadOnlySpan<byte> line)
    {
        if (!_hasSpoken)
        {
            _hasSpoken = true;
            EndProbation();
        }
        var task = TaskLine.OfClient(line);
        if (task.Kind == TaskLineKind.Malformed)
        {
            SendError(task.Fault);
            return;
        }
        lock (_dispatcher.Gate)
        {
            if (_tasksById.Contains(task.Id))
            {
                SendError("duplicate task id: "u8, task.Id);
            }
            else if (IsStopping)
            {
                Refuse(task.Id, "ERROR: the load balancer is stopping"u8);
            }
            else
            {
                var accepted = new ClientTask(this, task.Id, task.Data);
                _tasks.Add(accepted);
                if (!_queue.TryAdd(accepted))
                {
                    _tasks.Remove(accepted);
                    _statistics.CountQueueRefusal();
                    Refuse(task.Id, "ERROR: queue is full"u8);
                }
            }
        }
    }

    /// <inheritdoc/>
    protected override async Task FinishAsync()
    {
        lock (_dispatcher.Gate)
        {
            _hasFinished = true;
            if (_tasks.Count == 0)
            {
                return;
            }
        }
        while (!_allAnswered.Task.IsCompleted)
        {
            await Task.WhenAny(_allAnswered.Task, Task.Delay(Look, _time));
            ObjectDisposedException.ThrowIf(IsBroken, this);
        }
    }

    /// <inheritdoc/>
    protected override void OnGone(string reason)
    {
        lock (_dispatcher.Gate)
        {
            _isGone = true;
            foreach (var task in _tasks)
            {
                _queue.Abandon((ClientTask)task);
            }
            _tasks.Clear();
        }
    }

    private void Refuse(ReadOnlySpan<byte> id, ReadOnlySpan<byte> result)
    {
        _statistics.CountOwnAnswer(StatusCodes.Status503ServiceUnavailable, TimeSpan.Zero, TimeSpan.Zero);
        SendResult(id, result);
    }

    private void SendResult(ReadOnlySpan<byte> id, ReadOnlySpan<byte> result) => Writer.Append("RESULT|"u8, id, "|"u8, result, "\n"u8);
}
