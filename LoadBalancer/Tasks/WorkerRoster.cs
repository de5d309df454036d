using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Tasks;

/// <summary>
/// The workers by name, and by backend. Workers join and leave the pool in the background, because a change of the pool looks at all
/// members: one change takes in all workers that have come and gone meanwhile, so that thousands at once are few changes.
/// </summary>
/// <param name="pool">The pool that they join.</param>
/// <param name="gate">The dispatcher's gate, which guards this too.</param>
/// <param name="refused">Called for each worker for which the pool has no room; the gate is held.</param>
/// <param name="logger">Gets what fails unexpectedly.</param>
internal sealed class WorkerRoster(BackendPool pool, Lock gate, Action<Worker> refused, ILogger logger)
{
    private readonly Dictionary<string, Worker> _byName = [];
    private readonly Dictionary<Backend, Worker> _byBackend = [];
    private readonly List<Worker> _joining = [];
    private readonly List<Backend> _leaving = [];
    private bool _isChanging;

    /// <summary>All of them.</summary>
    public IReadOnlyCollection<Worker> All => _byName.Values;

    /// <summary>The worker with a name; null if there is none.</summary>
    public Worker? FindNeedsLock(string name) => _byName.GetValueOrDefault(name);

    /// <summary>The worker of a backend; null if it was removed.</summary>
    public Worker? FindNeedsLock(Backend backend) => _byBackend.GetValueOrDefault(backend);

    /// <summary>The workers whose backends an operator has removed from the pool.</summary>
    public List<Worker> FindRemovedNeedsLock() => [.. _byBackend.Values.Where(worker => worker.Backend.IsRemoved)];

    /// <summary>Adds a worker. It is acknowledged at once, before anything else is sent to it, and joins the pool a moment later.</summary>
    public void AddNeedsLock(Worker worker)
    {
        worker.Link.Acknowledge(worker);
        _byName[worker.Name] = worker;
        _byBackend[worker.Backend] = worker;
        _joining.Add(worker);
        StartChangeNeedsLock();
    }

    /// <summary>Removes a worker; from now on it is not chosen any more.</summary>
    public void RemoveNeedsLock(Worker worker)
    {
        worker.IsGone = true;
        worker.Backend.MaxInFlight = 0; // until it has left the pool
        if (FindNeedsLock(worker.Name) == worker)
        {
            _byName.Remove(worker.Name);
        }
        _byBackend.Remove(worker.Backend);
        if (!_joining.Remove(worker))
        {
            _leaving.Add(worker.Backend);
            StartChangeNeedsLock();
        }
    }

    // Workers that come or go while the pool is being changed are part of the next change.
    private void StartChangeNeedsLock()
    {
        if (!_isChanging)
        {
            _isChanging = true;
            BackgroundTask.Run(Task.Run(ChangeNow), logger, $"pool '{pool.Name}': adding and removing workers");
        }
    }

    private void ChangeNow()
    {
        try
        {
            ChangeAll();
        }
        catch
        {
            lock (gate)
            {
                _isChanging = false; // The next worker that comes or goes starts a change again.
            }
            throw;
        }
        Outbox.Flush();
    }

    private void ChangeAll()
    {
        while (true)
        {
            List<Worker> joining;
            List<Backend> leaving;
            lock (gate)
            {
                _isChanging = _joining.Count + _leaving.Count > 0;
                if (!_isChanging)
                {
                    return;
                }
                (joining, leaving) = ([.. _joining], [.. _leaving]);
                _joining.Clear();
                _leaving.Clear();
            }
            var gone = leaving.ToHashSet();
            try
            {
                pool.ChangeMembers(
                    members => [.. members.Where(member => !gone.Contains(member)), .. joining.Select(worker => worker.Backend)]);
            }
            catch (InvalidOperationException) // The pool is full.
            {
                pool.ChangeMembers(members => [.. members.Where(member => !gone.Contains(member))]);
                lock (gate)
                {
                    joining.ForEach(refused);
                }
            }
        }
    }
}
