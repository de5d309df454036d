using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Tasks;

/// <summary>
/// Assigns tasks to workers, and takes them back from workers that disconnect or take too long. Workers are backends of the pool: they
/// join it by registering, their limit in flight is their capacity, and they are chosen as every backend is. One lock, <see cref="Gate"/>,
/// guards everything; it is held only for a moment, and nothing waits while it is held.
/// </summary>
internal sealed partial class TaskDispatcher : IDisposable
{
    // Failed tasks do not eject a worker: others may fail too, and a worker that is late gets nothing until it has answered.
    private static readonly HealthRules Rules = new() { Failures = int.MaxValue, FailureShare = 2 };

    private readonly string _listener;
    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly WorkerRoster _workers;
    private readonly RunningAttempts _running;
    private readonly TaskAssigner _tasks;
    private int _maxAttempts;

    /// <summary>Creates a dispatcher for a pool that no other one uses.</summary>
    public TaskDispatcher(string listener, BackendPool pool, TasksListenerOptions options, TimeProvider time, ILogger logger)
    {
        (_listener, _pool, _time, _logger) = (listener, pool, time, logger);
        _maxAttempts = options.MaxAttempts;
        _workers = new WorkerRoster(pool, Gate, worker => EvictNeedsLock(worker, "there are too many workers"), logger);
        _running = new RunningAttempts(options.TaskTimeout, time, EndOverdue);
        _tasks = new TaskAssigner(pool, _workers, _running, PauseNeedsLock, time);
        pool.SnapshotChanged += OnSnapshotChanged;
        pool.MembersChanged += OnMembersChanged;
    }

    /// <summary>Raised when the set of eligible workers may have changed; the gate may be held, and handlers must not block.</summary>
    public event Action? WorkersChanged;

    /// <summary>The lock that guards this dispatcher, its tasks, its workers, its queue and its sessions.</summary>
    public Lock Gate { get; } = new();

    /// <summary>The number of tasks that wait for a worker.</summary>
    public int Waiting => _tasks.Waiting;

    /// <summary>The number of tasks that workers have, without those that have taken too long.</summary>
    public int Running => _running.Count;

    /// <summary>How long tasks have waited for a worker.</summary>
    public DurationHistogram Waits => _tasks.Waits;

    /// <summary>How long workers have taken for a task.</summary>
    public DurationHistogram Runs { get; } = new();

    /// <summary>Attempts that ended without a result.</summary>
    public long Lost { get; private set; }

    /// <summary>Tasks that were given up because no worker has finished them.</summary>
    public long Failed { get; private set; }

    /// <summary>Whether any worker is eligible, even if it is full.</summary>
    public bool HasWorkers => !_pool.Snapshot.Eligible.IsEmpty;

    /// <summary>The eligible workers.</summary>
    public IEnumerable<Worker> EligibleWorkersNeedsLock()
    {
        foreach (var backend in _pool.Snapshot.Eligible)
        {
            if (_workers.FindNeedsLock(backend) is { } worker)
            {
                yield return worker;
            }
        }
    }

    /// <summary>Applies other limits.</summary>
    public void Apply(TasksListenerOptions options)
    {
        lock (Gate)
        {
            (_running.Timeout, _maxAttempts) = (options.TaskTimeout, options.MaxAttempts);
        }
    }

    /// <summary>Assigns a task to a worker, or lets it wait for one.</summary>
    /// <param name="task">The task.</param>
    /// <param name="limit">The most tasks that may wait.</param>
    /// <returns>False if it would have to wait and the limit is reached.</returns>
    public bool TryAddNeedsLock(TaskItem task, int limit = int.MaxValue) => _tasks.TryAdd(task, limit);

    /// <summary>
    /// The result of a task is no longer wanted: a waiting task is removed, one that a worker has gets no further attempt.
    /// </summary>
    /// <returns>Whether it was waiting.</returns>
    public bool AbandonNeedsLock(TaskItem task)
    {
        task.IsAbandoned = true;
        return _tasks.Remove(task);
    }

    /// <summary>Removes all tasks that wait, and returns them.</summary>
    public List<TaskItem> TakeWaitingNeedsLock() => _tasks.TakeAll();

    /// <summary>
    /// Registers a worker, in place of any other one of that name. It is acknowledged at once, and joins the pool a moment later, together
    /// with others that register at the same time: thousands of workers are few changes of the pool.
    /// </summary>
    public Worker Register(string name, int capacity, IPEndPoint from, IWorkerLink link)
    {
        var address = new EndpointAddress("tcp", from.Address.Unmap().ToString(), from.Port);
        var backend = new Backend(name, address, new BackendHealth(Rules, _time), Math.Min(capacity, Backend.MaxWeight), capacity);
        var worker = new Worker(name, capacity, link, backend);
        lock (Gate)
        {
            if (_workers.FindNeedsLock(name) is { } older)
            {
                // The operator's settings belong to the worker, not to its connection.
                backend.AdminState = older.Backend.AdminState;
                backend.Weight = older.Capacity == capacity ? older.Backend.Weight : backend.Weight;
                EvictNeedsLock(older, "another connection has registered under this name");
            }
            _workers.AddNeedsLock(worker);
        }
        LogRegistered(_listener, name, address.Authority, capacity);
        return worker;
    }

    /// <summary>A worker's connection has ended: its tasks go to other workers.</summary>
    public void Unregister(Worker worker, string reason)
    {
        lock (Gate)
        {
            RemoveNeedsLock(worker, reason);
        }
        Outbox.Flush();
    }

    /// <summary>Ends the connections of workers that have no task: they register elsewhere.</summary>
    public void LetIdleGoNeedsLock(string reason)
    {
        foreach (var worker in _workers.All.Where(worker => worker.Attempts.Count == 0).ToList())
        {
            RemoveNeedsLock(worker, reason);
            worker.Link.LetGo(reason);
        }
    }

    /// <summary>Handles a worker's answer.</summary>
    public AnswerFate Answer(Worker worker, ReadOnlySpan<byte> id, ReadOnlySpan<byte> result)
    {
        lock (Gate)
        {
            if (worker.End(id) is not { } attempt)
            {
                return worker.HasAnswered(id) ? AnswerFate.Dropped : AnswerFate.UnknownTask;
            }
            if (attempt.IsOverdue)
            {
                attempt.Lease.Complete(AttemptOutcome.Failed, "answered too late", FailureKind.Timeout);
                if (--worker.Overdue == 0)
                {
                    _pool.ObserveProbe(worker.Backend, true, "has answered at last");
                }
            }
            else
            {
                FinishNeedsLock(attempt, result);
            }
            _tasks.AssignWaitingTo(worker);
            return attempt.IsOverdue ? AnswerFate.Dropped : AnswerFate.Taken;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _running.Dispose();
        _pool.SnapshotChanged -= OnSnapshotChanged;
        _pool.MembersChanged -= OnMembersChanged;
    }

    private void FinishNeedsLock(TaskAttempt attempt, ReadOnlySpan<byte> result)
    {
        var task = attempt.Task;
        _running.Remove(attempt);
        task.Attempt = null;
        var run = attempt.Lease.ObserveResponse();
        attempt.Lease.Complete(AttemptOutcome.Succeeded);
        Runs.Count(run);
        _pool.Statistics.Instruments?.RecordTaskRun(_pool.Name, run);
        attempt.Lease.CountAnswer(StatusCodes.Status200OK, run, _time.GetElapsedTime(task.AcceptedAt));
        task.FinishNeedsLock(result);
    }

    private void EvictNeedsLock(Worker worker, string reason)
    {
        RemoveNeedsLock(worker, reason);
        worker.Link.Close(reason);
    }

    private void RemoveNeedsLock(Worker worker, string reason)
    {
        if (worker.IsGone)
        {
            return;
        }
        _workers.RemoveNeedsLock(worker);
        var lost = worker.Attempts.Where(attempt => !attempt.IsOverdue).OrderBy(attempt => attempt.StartedAt).Reverse().ToList();
        foreach (var attempt in worker.Attempts)
        {
            attempt.Lease.Complete(AttemptOutcome.Failed, reason);
        }
        worker.Clear();
        foreach (var attempt in lost)
        {
            _running.Remove(attempt);
            RequeueNeedsLock(attempt.Task, "worker is gone");
        }
        _tasks.AssignWaiting();
        LogGone(_listener, worker.Name, reason, lost.Count);
    }

    private void RequeueNeedsLock(TaskItem task, string reason)
    {
        Lost++;
        task.Attempt = null;
        if (task.IsAbandoned)
        {
            return;
        }
        if (task.Attempts < _maxAttempts)
        {
            _tasks.PutBack(task);
            return;
        }
        Failed++;
        _pool.Statistics.CountOwnAnswer(StatusCodes.Status502BadGateway, TimeSpan.Zero, _time.GetElapsedTime(task.AcceptedAt));
        var attempts = task.Attempts == 1 ? "1 attempt" : $"{task.Attempts} attempts";
        var result = $"ERROR: no worker has finished the task in {attempts}; the last {reason}";
        task.FinishNeedsLock(System.Text.Encoding.UTF8.GetBytes(result), isFailure: true);
    }

    // The worker has not read the tasks that it was sent: the others would only fill memory.
    private void PauseNeedsLock(Worker worker, Task read)
    {
        worker.IsPaused = true;
        worker.Backend.MaxInFlight = 0;
        BackgroundTask.Run(ResumeAsync(worker, read), _logger, $"listener '{_listener}': waiting for worker '{worker.Name}' to read");
    }

    private async Task ResumeAsync(Worker worker, Task read)
    {
        await read;
        lock (Gate)
        {
            if (!worker.IsGone && !worker.Link.IsBroken)
            {
                worker.IsPaused = false;
                worker.Backend.MaxInFlight = worker.Capacity;
                _tasks.AssignWaitingTo(worker);
            }
        }
        Outbox.Flush();
    }

    private void EndOverdue()
    {
        lock (Gate)
        {
            var overdue = _running.TakeOverdue();
            var late = new List<Backend>();
            foreach (var attempt in overdue)
            {
                if (attempt.Worker.Overdue++ == 0)
                {
                    attempt.Lease.ObserveNoResponse();
                    late.Add(attempt.Worker.Backend);
                }
            }
            _pool.ObserveProbes(late, false, $"has kept a task for more than {_running.Timeout}");
            for (var i = overdue.Count - 1; i >= 0; i--)
            {
                RequeueNeedsLock(overdue[i].Task, $"kept it for more than {_running.Timeout}");
            }
            if (overdue.Count > 0)
            {
                _tasks.AssignWaiting();
            }
        }
        Outbox.Flush();
    }

    private void OnSnapshotChanged(BackendPool pool)
    {
        lock (Gate)
        {
            _tasks.AssignWaiting();
        }
        WorkersChanged?.Invoke();
        FlushUnlessHeld();
    }

    // An operator has removed a worker; the pool has waited until it had nothing in flight.
    private void OnMembersChanged(BackendPool pool)
    {
        lock (Gate)
        {
            _workers.FindRemovedNeedsLock().ForEach(worker => EvictNeedsLock(worker, "an operator has removed this worker"));
        }
        FlushUnlessHeld();
    }

    // If the gate is held, its holder flushes afterwards: nothing is sent while it is held, because a failed send ends a session.
    private void FlushUnlessHeld()
    {
        if (!Gate.IsHeldByCurrentThread)
        {
            Outbox.Flush();
        }
    }

    [LoggerMessage(120, LogLevel.Information,
        "listener '{Listener}': worker '{Worker}' has registered from {From} and takes {Capacity} at once")]
    private partial void LogRegistered(string listener, string worker, string from, int capacity);

    [LoggerMessage(121, LogLevel.Information,
        "listener '{Listener}': worker '{Worker}' is gone: {Reason}; {Count} of its tasks go to others")]
    private partial void LogGone(string listener, string worker, string reason, int count);
}
