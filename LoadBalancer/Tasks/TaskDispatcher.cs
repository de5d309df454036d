using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Tasks;

/// <summary>What became of a worker's answer.</summary>
internal enum AnswerFate
{
    /// <summary>It was that of a task that the worker was working on.</summary>
    Taken,

    /// <summary>It came late, or for the second time.</summary>
    Dropped,

    /// <summary>The worker has no such task.</summary>
    NotTheirs,
}

/// <summary>
/// Gives tasks to workers, and takes them away from who is gone or takes too long. Workers are backends of the pool: they join it by
/// registering, have as many places as they take tasks at once, and are chosen as every backend is. One gate guards all; it is held for
/// a moment and nobody waits under it.
/// </summary>
internal sealed partial class TaskDispatcher : IDisposable
{
    // Among tasks that cannot be had because the workers with room have one of the same id, so many are passed over.
    private const int MostPassedOver = 128;
    private const int MostTried = 16;

    // A worker that does not do its work well is not spared: others may do no better, and it is held back while it owes an answer.
    private static readonly HealthRules Rules = new() { Failures = int.MaxValue, FailureShare = 2 };

    private readonly string _listener;
    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ITimer _timer;
    private readonly WorkerRoster _workers;
    private readonly LinkedQueue<TaskItem> _waiting = new(static task => ref task.Waiting);
    private readonly LinkedQueue<TaskAttempt> _running = new(static attempt => ref attempt.Running); // the longest first
    private bool _isTimerSet;
    private bool _mayHaveRoom; // though tasks wait, for they have the ids of others
    private TimeSpan _taskTimeout;
    private int _maxAttempts;

    /// <summary>Makes a dispatcher over a pool that no other one uses.</summary>
    public TaskDispatcher(string listener, BackendPool pool, TasksListenerOptions options, TimeProvider time, ILogger logger)
    {
        (_listener, _pool, _time, _logger) = (listener, pool, time, logger);
        (_taskTimeout, _maxAttempts) = (options.TaskTimeout, options.MaxAttempts);
        _workers = new WorkerRoster(pool, Gate, worker => Expel(worker, "there are too many workers"), logger);
        _timer = time.CreateTimer(static dispatcher => ((TaskDispatcher)dispatcher!).EndOverdue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        pool.SnapshotChanged += OnSnapshotChanged;
        pool.MembersChanged += OnMembersChanged;
    }

    /// <summary>Raised when somebody eligible may have come or gone; perhaps under the gate, and handlers must not block.</summary>
    public event Action? WorkersChanged;

    /// <summary>Guards this, its tasks, its workers, and whoever else belongs to it.</summary>
    public Lock Gate { get; } = new();

    /// <summary>How many tasks wait for a worker.</summary>
    public int Waiting => _waiting.Count;

    /// <summary>How many tasks are being worked on, without those that have taken too long.</summary>
    public int Running => _running.Count;

    /// <summary>How long tasks have waited for a worker.</summary>
    public DurationHistogram Waits { get; } = new();

    /// <summary>How long workers have taken.</summary>
    public DurationHistogram Runs { get; } = new();

    /// <summary>Attempts that ended without a result.</summary>
    public long Lost { get; private set; }

    /// <summary>Tasks that no worker has finished.</summary>
    public long Failed { get; private set; }

    /// <summary>Whether some worker is eligible, with room or without.</summary>
    public bool HasWorkers => !_pool.Snapshot.Eligible.IsEmpty;

    /// <summary>Those who are eligible, with what they take at once.</summary>
    public IEnumerable<Worker> EligibleWorkers()
    {
        foreach (var backend in _pool.Snapshot.Eligible)
        {
            if (_workers.Find(backend) is { } worker)
            {
                yield return worker;
            }
        }
    }

    /// <summary>Other limits hold from now on.</summary>
    public void Apply(TasksListenerOptions options)
    {
        lock (Gate)
        {
            (_taskTimeout, _maxAttempts) = (options.TaskTimeout, options.MaxAttempts);
            _isTimerSet = false;
            SetTimer();
        }
    }

    /// <summary>Gives a task to a worker, or lets it wait for one. Under the gate.</summary>
    /// <param name="task">The task.</param>
    /// <param name="limit">How many may wait.</param>
    /// <returns>False where it would have to wait, and enough do.</returns>
    public bool TryAdd(TaskItem task, int limit = int.MaxValue)
    {
        task.AcceptedAt = task.AcceptedAt == 0 ? _time.GetTimestamp() : task.AcceptedAt;
        if ((_waiting.First is null || _mayHaveRoom) && TryAssign(task))
        {
            return true;
        }
        if (_waiting.Count >= limit)
        {
            return false;
        }
        _waiting.AddLast(task);
        return true;
    }

    /// <summary>Nobody wants a task's result any more: if it waits, it is gone; if it is being worked on, that is its last attempt. Under the gate.</summary>
    /// <returns>Whether it was waiting.</returns>
    public bool Abandon(TaskItem task)
    {
        task.IsAbandoned = true;
        return _waiting.Remove(task);
    }

    /// <summary>Takes all out that wait. Under the gate.</summary>
    public List<TaskItem> TakeWaiting()
    {
        var all = new List<TaskItem>(_waiting.Count);
        while (_waiting.First is { } task)
        {
            _waiting.Remove(task);
            all.Add(task);
        }
        return all;
    }

    /// <summary>
    /// Lets a worker take part, in place of any other one of that name. It is acknowledged at once, and joins the pool a moment later,
    /// with others that come at the same time: thousands that come together are few changes of the pool.
    /// </summary>
    public Worker Register(string name, int capacity, IPEndPoint from, IWorkerLink link)
    {
        var address = new EndpointAddress("tcp", from.Address.Unmap().ToString(), from.Port);
        var backend = new Backend(name, address, new BackendHealth(Rules, _time), Math.Min(capacity, Backend.MaxWeight), capacity);
        var worker = new Worker(name, capacity, link, backend);
        lock (Gate)
        {
            if (_workers.Find(name) is { } older)
            {
                // What an operator wants of it holds for the worker, not for its connection.
                (backend.AdminState, backend.Weight) = (older.Backend.AdminState, older.Capacity == capacity ? older.Backend.Weight : backend.Weight);
                Expel(older, "another connection has registered under this name");
            }
            _workers.Add(worker);
        }
        LogRegistered(_listener, name, address.Authority, capacity);
        return worker;
    }

    /// <summary>A worker's connection has ended: what it was working on goes to others.</summary>
    public void Unregister(Worker worker, string reason)
    {
        lock (Gate)
        {
            End(worker, reason);
        }
        Outbox.Flush();
    }

    /// <summary>Takes a worker's answer.</summary>
    public AnswerFate Answer(Worker worker, ReadOnlySpan<byte> id, ReadOnlySpan<byte> result)
    {
        lock (Gate)
        {
            if (worker.End(id) is not { } attempt)
            {
                return worker.HasAnswered(id) ? AnswerFate.Dropped : AnswerFate.NotTheirs;
            }
            if (attempt.IsOverdue)
            {
                attempt.Lease.Complete(AttemptOutcome.Failed, "answered too late");
                if (--worker.Overdue == 0)
                {
                    _pool.ObserveProbe(worker.Backend, true, "has answered at last");
                }
            }
            else
            {
                Finish(attempt, result);
            }
            GiveTo(worker);
            return attempt.IsOverdue ? AnswerFate.Dropped : AnswerFate.Taken;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _timer.Dispose();
        _pool.SnapshotChanged -= OnSnapshotChanged;
        _pool.MembersChanged -= OnMembersChanged;
    }

    private void Finish(TaskAttempt attempt, ReadOnlySpan<byte> result)
    {
        var task = attempt.Task;
        _running.Remove(attempt);
        task.Attempt = null;
        var run = attempt.Lease.ObserveResponse();
        attempt.Lease.Complete(AttemptOutcome.Succeeded);
        Runs.Count(run);
        _pool.Statistics.Instruments?.RecordTaskRun(_pool.Name, run);
        attempt.Lease.CountAnswer(StatusCodes.Status200OK, run, _time.GetElapsedTime(task.AcceptedAt));
        task.Finish(result);
    }

    private bool TryAssign(TaskItem task)
    {
        List<Backend>? tried = null;
        while (_pool.TryAcquire(new SelectionContext(tried, task.ClientHash), out var lease))
        {
            if (_workers.Find(lease.Backend) is { } worker && !worker.Has(task))
            {
                Assign(task, worker, lease);
                return true;
            }
            lease.Dispose();
            (tried ??= []).Add(lease.Backend);
            if (tried.Count == MostTried)
            {
                break;
            }
        }
        _mayHaveRoom = tried is not null;
        return false;
    }

    private void Assign(TaskItem task, Worker worker, BackendLease lease)
    {
        var now = _time.GetTimestamp();
        if (task.Attempts++ == 0)
        {
            var wait = _time.GetElapsedTime(task.AcceptedAt, now);
            Waits.Count(wait);
            _pool.Statistics.Instruments?.RecordTaskWait(_pool.Name, wait);
        }
        else
        {
            _pool.Statistics.CountRetry();
        }
        var attempt = new TaskAttempt(task, worker, lease, now);
        task.Attempt = attempt;
        worker.Begin(attempt);
        _running.AddLast(attempt);
        SetTimer();
        worker.Link.Assign(task);
    }

    // Somebody may have room.
    private void GiveOut()
    {
        var passedOver = 0;
        for (var task = _waiting.First; task is not null;)
        {
            var next = _waiting.After(task);
            if (TryAssign(task))
            {
                _waiting.Remove(task);
            }
            else if (!_mayHaveRoom || ++passedOver == MostPassedOver)
            {
                break;
            }
            task = next;
        }
        _mayHaveRoom = passedOver > 0;
    }

    // This one has room, and nobody else can have for a task that waits, or it would have been given out: there is no need to look at all.
    private void GiveTo(Worker worker)
    {
        var passedOver = 0;
        for (var task = _waiting.First; task is not null && passedOver < MostPassedOver && worker.Backend.IsEligible;)
        {
            var next = _waiting.After(task);
            if (worker.Has(task))
            {
                passedOver++;
            }
            else if (_pool.TryAcquire(worker.Backend, out var lease))
            {
                _waiting.Remove(task);
                Assign(task, worker, lease);
            }
            else
            {
                return;
            }
            task = next;
        }
        _mayHaveRoom |= passedOver > 0;
    }

    // Under the gate.
    private void Expel(Worker worker, string reason)
    {
        End(worker, reason);
        worker.Link.Close(reason);
    }

    // Under the gate.
    private void End(Worker worker, string reason)
    {
        if (worker.IsGone)
        {
            return;
        }
        _workers.Remove(worker);
        var lost = worker.Attempts.Where(attempt => !attempt.IsOverdue).OrderBy(attempt => attempt.StartedAt).Reverse().ToList();
        foreach (var attempt in worker.Attempts)
        {
            attempt.Lease.Complete(AttemptOutcome.Failed, reason);
        }
        worker.Clear();
        foreach (var attempt in lost)
        {
            _running.Remove(attempt);
            PutBack(attempt.Task, "worker is gone");
        }
        GiveOut();
        LogGone(_listener, worker.Name, reason, lost.Count);
    }

    private void PutBack(TaskItem task, string reason)
    {
        Lost++;
        task.Attempt = null;
        if (task.IsAbandoned)
        {
            return;
        }
        if (task.Attempts < _maxAttempts)
        {
            _waiting.AddFirst(task); // It came before all who wait.
            return;
        }
        Failed++;
        _pool.Statistics.CountOwnAnswer(StatusCodes.Status502BadGateway, TimeSpan.Zero, _time.GetElapsedTime(task.AcceptedAt));
        task.Finish(System.Text.Encoding.UTF8.GetBytes($"ERROR: no worker has finished the task in {task.Attempts} {(task.Attempts == 1 ? "attempt" : "attempts")}; the last {reason}"), isFailure: true);
    }

    private void SetTimer()
    {
        if (!_isTimerSet && _running.First is { } longest)
        {
            _isTimerSet = true;
            var left = _taskTimeout - _time.GetElapsedTime(longest.StartedAt);
            _timer.Change(left > TimeSpan.FromMilliseconds(1) ? left : TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
        }
    }

    private void EndOverdue()
    {
        lock (Gate)
        {
            _isTimerSet = false;
            var overdue = new List<TaskAttempt>();
            var late = new List<Backend>();
            while (_running.First is { } longest && _time.GetElapsedTime(longest.StartedAt) >= _taskTimeout)
            {
                _running.Remove(longest);
                longest.IsOverdue = true;
                overdue.Add(longest);
                if (longest.Worker.Overdue++ == 0)
                {
                    longest.Lease.ObserveNoResponse();
                    late.Add(longest.Worker.Backend);
                }
            }
            _pool.ObserveProbes(late, false, $"has kept a task for more than {_taskTimeout}");
            for (var i = overdue.Count - 1; i >= 0; i--)
            {
                PutBack(overdue[i].Task, $"kept it for more than {_taskTimeout}");
            }
            if (overdue.Count > 0)
            {
                GiveOut();
            }
            SetTimer();
        }
        Outbox.Flush();
    }

    private void OnSnapshotChanged(BackendPool pool)
    {
        lock (Gate)
        {
            GiveOut();
        }
        WorkersChanged?.Invoke();
        FlushUnlessHeld();
    }

    // An operator has removed a worker, once it had nothing left to do.
    private void OnMembersChanged(BackendPool pool)
    {
        lock (Gate)
        {
            _workers.Removed().ForEach(worker => Expel(worker, "an operator has removed this worker"));
        }
        FlushUnlessHeld();
    }

    // Else whoever holds the gate does so afterwards: nothing is sent under it, for that might end in somebody's being gone.
    private void FlushUnlessHeld()
    {
        if (!Gate.IsHeldByCurrentThread)
        {
            Outbox.Flush();
        }
    }

    [LoggerMessage(120, LogLevel.Information, "listener '{Listener}': worker '{Worker}' has registered from {From} and takes {Capacity} at once")]
    private partial void LogRegistered(string listener, string worker, string from, int capacity);

    [LoggerMessage(121, LogLevel.Information, "listener '{Listener}': worker '{Worker}' is gone: {Reason}; {Count} of its tasks go to others")]
    private partial void LogGone(string listener, string worker, string reason, int count);
}
