using LoadBalancer.Pools.Statistics;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>A client's task. Its result goes to the client, if that is still connected.</summary>
internal sealed class ClientTask(ClientSession client, ReadOnlySpan<byte> id, ReadOnlySpan<byte> data)
    : TaskItem(id, data, client.ClientHash)
{
    /// <summary>The number that the engine of the queue gives it; 0 if it gives none.</summary>
    public long Number { get; set; }

    /// <inheritdoc/>
    public override void FinishNeedsLock(ReadOnlySpan<byte> result, bool isFailure = false) => client.AnswerNeedsLock(this, result);
}

/// <summary>A connection of a client.</summary>
internal sealed class ClientSession : LineSession
{
    // How often a client that sends nothing more is checked for whether it still can get its results.
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(1);

    private readonly TaskDispatcher _dispatcher;
    private readonly ITaskQueue _queue;
    private readonly PoolStatistics _statistics;
    private readonly TimeProvider _time;
    // without a result yet; guarded by the dispatcher's gate, as the rest
    private readonly HashSet<TaskItem> _tasks = new(TaskIdComparer.Instance);
    private readonly HashSet<TaskItem>.AlternateLookup<ReadOnlySpan<byte>> _tasksById;
    private readonly TaskCompletionSource _allAnswered = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _hasFinished;
    private bool _isGone;
    private bool _hasSentLine; // a valid one

    /// <summary>Takes over a connection.</summary>
    public ClientSession(
        AcceptedConnection connection, SessionSettings settings, TaskDispatcher dispatcher, ITaskQueue queue, PoolStatistics statistics)
        : base(connection, settings)
    {
        (_dispatcher, _queue, _statistics, _time) = (dispatcher, queue, statistics, settings.Time);
        _tasksById = _tasks.GetAlternateLookup<ReadOnlySpan<byte>>();
        ClientHash = Pools.ClientHash.Of(Remote.Address);
    }

    /// <summary>The hash of the client's address, for policies that look at it.</summary>
    public ulong ClientHash { get; }

    /// <summary>The number of its tasks that have no result yet.</summary>
    public int Unanswered => _tasks.Count;

    /// <summary>Whether new tasks are rejected because the listener stops.</summary>
    public bool IsStopping { get; set; }

    /// <summary>Whether new tasks are refused because another process takes them.</summary>
    public bool IsRestarting { get; set; }

    /// <summary>Sends a result. A result is dropped if the client no longer waits for it.</summary>
    public void AnswerNeedsLock(ClientTask task, ReadOnlySpan<byte> result)
    {
        if (_isGone || !_tasks.Remove(task))
        {
            return;
        }
        Writer.Append("RESULT|"u8, task.Id, "|"u8, result, "\n"u8);
        if (_hasFinished && _tasks.Count == 0)
        {
            _allAnswered.TrySetResult();
        }
    }

    /// <summary>Sends this result for every task that has none yet.</summary>
    public void AnswerAllNeedsLock(ReadOnlySpan<byte> result)
    {
        foreach (var task in _tasks.Cast<ClientTask>().ToList())
        {
            _queue.AbandonNeedsLock(task);
            AnswerNeedsLock(task, result);
        }
    }

    /// <inheritdoc/>
    protected override bool TryHandle(ReadOnlySpan<byte> line)
    {
        var task = TaskLine.OfClient(line);
        if (task.Kind == TaskLineKind.Malformed)
        {
            SendError(task.Error);
            return false;
        }
        if (!_hasSentLine)
        {
            _hasSentLine = true;
            StopFirstLineTimeout();
        }
        lock (_dispatcher.Gate)
        {
            if (_tasksById.Contains(task.Id))
            {
                SendError("duplicate task id: "u8, task.Id);
            }
            else if (IsRestarting)
            {
                SendError("restarting");
            }
            else if (IsStopping)
            {
                Reject(task.Id, "ERROR: the load balancer is stopping"u8);
            }
            else
            {
                var accepted = new ClientTask(this, task.Id, task.Data);
                _tasks.Add(accepted);
                if (!_queue.TryAddNeedsLock(accepted))
                {
                    _tasks.Remove(accepted);
                    _statistics.CountQueueRefusal();
                    Reject(task.Id, "ERROR: queue is full"u8);
                }
            }
        }
        return true;
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
            await Task.WhenAny(_allAnswered.Task, Task.Delay(CheckInterval, _time));
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
                _queue.AbandonNeedsLock((ClientTask)task);
            }
            _tasks.Clear();
        }
    }

    private void Reject(ReadOnlySpan<byte> id, ReadOnlySpan<byte> result)
    {
        _statistics.CountOwnAnswer(StatusCodes.Status503ServiceUnavailable, TimeSpan.Zero, TimeSpan.Zero);
        SendOwn("RESULT|"u8, id, "|"u8, result, "\n"u8);
    }
}
