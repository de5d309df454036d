using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Tasks;

/// <summary>
/// The tasks that wait, and their assignment to workers: first in, first out, to the worker that the pool chooses. Guarded by the
/// dispatcher's gate.
/// </summary>
/// <param name="pool">The pool of the workers.</param>
/// <param name="workers">The workers.</param>
/// <param name="running">Gets the attempts that begin.</param>
/// <param name="unread">Called with a worker that has not read the tasks that it was sent; it gets no more until it is resumed.</param>
/// <param name="time">The clock.</param>
internal sealed class TaskAssigner(
    BackendPool pool, WorkerRoster workers, RunningAttempts running, Action<Worker, Task> unread, TimeProvider time)
{
    // A task cannot be assigned if all workers with room have one of the same id. At most this number of such tasks are passed over.
    private const int MaxPassedOver = 128;
    private const int MaxTried = 16;

    private readonly LinkedQueue<TaskItem> _waiting = new(static task => ref task.Waiting);
    private bool _mayHaveRoom; // although tasks wait, because workers have others of the same ids

    /// <summary>The number of tasks that wait for a worker.</summary>
    public int Waiting => _waiting.Count;

    /// <summary>How long tasks have waited for their first worker.</summary>
    public DurationHistogram Waits { get; } = new();

    /// <summary>Assigns a task to a worker, or lets it wait for one.</summary>
    /// <param name="task">The task.</param>
    /// <param name="limit">The most tasks that may wait.</param>
    /// <returns>False if it would have to wait and the limit is reached.</returns>
    public bool TryAdd(TaskItem task, int limit)
    {
        task.AcceptedAt = task.AcceptedAt == 0 ? time.GetTimestamp() : task.AcceptedAt;
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

    /// <summary>Puts back a task whose worker is lost. It is older than all that wait.</summary>
    public void PutBack(TaskItem task) => _waiting.AddFirst(task);

    /// <summary>Removes a task.</summary>
    /// <returns>False if it did not wait.</returns>
    public bool Remove(TaskItem task) => _waiting.Remove(task);

    /// <summary>Removes all tasks, and returns them.</summary>
    public List<TaskItem> TakeAll()
    {
        var all = new List<TaskItem>(_waiting.Count);
        while (_waiting.First is { } task)
        {
            _waiting.Remove(task);
            all.Add(task);
        }
        return all;
    }

    /// <summary>Assigns tasks that wait; to be called when any worker may have room.</summary>
    public void AssignWaiting()
    {
        var passedOver = 0;
        for (var task = _waiting.First; task is not null;)
        {
            var next = _waiting.After(task);
            if (TryAssign(task))
            {
                _waiting.Remove(task);
            }
            else if (!_mayHaveRoom || ++passedOver == MaxPassedOver)
            {
                break;
            }
            task = next;
        }
        _mayHaveRoom = passedOver > 0;
    }

    /// <summary>
    /// Assigns tasks that wait to a worker that may have room. Only this worker can have room for them, or they would have been assigned
    /// before: there is no need to look at all workers.
    /// </summary>
    public void AssignWaitingTo(Worker worker)
    {
        var passedOver = 0;
        for (var task = _waiting.First; task is not null && passedOver < MaxPassedOver && worker.Backend.IsEligible;)
        {
            var next = _waiting.After(task);
            if (worker.Has(task))
            {
                passedOver++;
            }
            else if (pool.TryAcquire(worker.Backend, out var lease))
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

    private bool TryAssign(TaskItem task)
    {
        List<Backend>? tried = null;
        while (pool.TryAcquire(new SelectionContext(tried, task.ClientHash), out var lease))
        {
            if (workers.FindNeedsLock(lease.Backend) is { } worker && !worker.Has(task))
            {
                Assign(task, worker, lease);
                return true;
            }
            lease.Dispose();
            (tried ??= []).Add(lease.Backend);
            if (tried.Count == MaxTried)
            {
                break;
            }
        }
        _mayHaveRoom = tried is not null;
        return false;
    }

    private void Assign(TaskItem task, Worker worker, BackendLease lease)
    {
        var now = time.GetTimestamp();
        if (task.Attempts++ == 0)
        {
            var wait = time.GetElapsedTime(task.AcceptedAt, now);
            Waits.Count(wait);
            pool.Statistics.Instruments?.RecordTaskWait(pool.Name, wait);
        }
        else
        {
            pool.Statistics.CountRetry();
        }
        var attempt = new TaskAttempt(task, worker, lease, now);
        task.Attempt = attempt;
        worker.Begin(attempt);
        running.Add(attempt);
        worker.Link.Assign(task);
        if (worker.Link.WhenReadAsync() is { IsCompleted: false } read && !worker.IsPaused)
        {
            unread(worker, read);
        }
    }
}
