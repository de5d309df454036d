using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Tasks;

/// <summary>
/// Who works: the workers by name, and their coming to and going from the pool. That takes a look at all members, so that it is done
/// aside, for all together who have come and gone meanwhile: thousands that come at once are few changes. All but what it does aside
/// is under the dispatcher's gate.
/// </summary>
/// <param name="pool">The pool that they join.</param>
/// <param name="gate">The dispatcher's gate.</param>
/// <param name="refused">Called, under the gate, for each worker that the pool has no room for.</param>
/// <param name="logger">Gets what fails unexpectedly.</param>
internal sealed class WorkerRoster(BackendPool pool, Lock gate, Action<Worker> refused, ILogger logger)
{
    private readonly Dictionary<string, Worker> _byName = [];
    private readonly Dictionary<Backend, Worker> _byBackend = [];
    private readonly List<Worker> _joining = [];
    private readonly List<Backend> _leaving = [];
    private bool _isChanging;

    /// <summary>The worker of a name.</summary>
    public Worker? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>The worker behind a backend; null where it is gone.</summary>
    public Worker? Find(Backend backend) => _byBackend.GetValueOrDefault(backend);

    /// <summary>Those whose backends were taken out of the pool by somebody else.</summary>
    public List<Worker> Removed() => [.. _byBackend.Values.Where(worker => worker.Backend.IsRemoved)];

    /// <summary>A worker comes. It is acknowledged at once, before anything else is sent to it, and joins the pool a moment later.</summary>
    public void Add(Worker worker)
    {
        worker.Link.Acknowledge(worker);
        _byName[worker.Name] = worker;
        _byBackend[worker.Backend] = worker;
        _joining.Add(worker);
        Change();
    }

    /// <summary>A worker is gone; from now on nobody chooses it.</summary>
    public void Remove(Worker worker)
    {
        worker.IsGone = true;
        worker.Backend.MaxInFlight = 0; // until it has left the pool
        if (Find(worker.Name) == worker)
        {
            _byName.Remove(worker.Name);
        }
        _byBackend.Remove(worker.Backend);
        if (!_joining.Remove(worker))
        {
            _leaving.Add(worker.Backend);
            Change();
        }
    }

    // Who comes or goes while the pool is being changed is part of the next change.
    private void Change()
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
                _isChanging = false; // The next worker that comes or goes tries again.
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
                pool.ChangeMembers(members => [.. members.Where(member => !gone.Contains(member)), .. joining.Select(worker => worker.Backend)]);
            }
            catch (InvalidOperationException) // There are too many.
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
