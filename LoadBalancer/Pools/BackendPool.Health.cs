namespace LoadBalancer.Pools;

/// <summary>What is observed of the health of a pool's backends.</summary>
public sealed partial class BackendPool
{
    private int _unpublished; // changes of health

    /// <summary>Observes the result of one probe.</summary>
    public void ObserveProbe(Backend backend, bool succeeded, string reason, bool isCertain = false) =>
        Apply(backend, backend.Health.ObserveProbe(succeeded, reason, isCertain));

    /// <summary>Observes the same result for several backends at once: one change of the pool, however many they are.</summary>
    public void ObserveProbes(IReadOnlyCollection<Backend> backends, bool succeeded, string reason)
    {
        bool Flips(Backend backend) => backend.Health.ObserveProbe(succeeded, reason).HasFlag(HealthChanges.Flipped);
        var flipped = backends.Where(backend => Flips(backend) && !backend.IsRemoved).ToList();
        if (flipped.Count > 0)
        {
            PublishHealth();
            flipped.ForEach(backend => HealthFlipped?.Invoke(this, backend));
        }
    }

    /// <summary>Observes a heartbeat of a backend, or that none came in time.</summary>
    public void ObserveHeartbeat(Backend backend, bool isAlive, string reason) =>
        Apply(backend, backend.Health.ObserveHeartbeat(isAlive, reason));

    /// <summary>Ejects an outlier, unless too many are out, or no other backend is left.</summary>
    /// <param name="backend">The backend.</param>
    /// <param name="reason">What was compared, for logs and status pages.</param>
    /// <returns>Whether it was ejected.</returns>
    internal bool TryEjectOutlier(Backend backend, string reason)
    {
        var changes = EjectIfSpared(backend, reason);
        Apply(backend, changes);
        return changes != HealthChanges.None;
    }

    /// <summary>Lets an ejected backend back in.</summary>
    public void EndEjection(Backend backend) => Apply(backend, backend.Health.EndEjection());

    // Failures alone are weak evidence: where many backends fail, the cause may be the requests, and the remaining backends would be
    // overloaded. So they eject half of the members at most, and never the last one. Probes and refused connects may take out all.
    private HealthChanges EjectIfSpared(Backend backend, string? outlier = null)
    {
        lock (_gate)
        {
            var (members, eligible) = (_snapshot.Members, _snapshot.Eligible);
            var ejected = members.Count(member => member.Health.IsOutForFailures) + 1;
            return ejected <= members.Length / 2 && eligible.Any(other => other != backend && other.Health.IsUp)
                ? backend.Health.Eject(outlier) : HealthChanges.None;
        }
    }

    private void Apply(Backend backend, HealthChanges changes)
    {
        if (backend.IsRemoved)
        {
            return; // Its health no longer matters.
        }
        if (changes.HasFlag(HealthChanges.Flipped))
        {
            PublishHealth();
            HealthFlipped?.Invoke(this, backend);
        }
        if (changes.HasFlag(HealthChanges.Ejected))
        {
            Ejected?.Invoke(this, backend);
        }
    }

    // For some policies a pool of thousands takes milliseconds to publish. Changes that come meanwhile are published together, after the
    // work that waits for a thread already: when a node starts, the results of the other probes.
    private void PublishHealth()
    {
        if (Interlocked.Increment(ref _unpublished) == 1)
        {
            PublishChanges();
        }
    }

    private void PublishChanges()
    {
        var published = Volatile.Read(ref _unpublished);
        Update(_ => { });
        if (Interlocked.Add(ref _unpublished, -published) > 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static pool => pool.PublishChanges(), this, preferLocal: false);
        }
    }
}
