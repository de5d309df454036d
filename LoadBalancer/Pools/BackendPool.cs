using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace LoadBalancer.Pools;

/// <summary>
/// A named group of backends. Owns who is in it, what is in flight and the published snapshot; owns no I/O, no timer, no retry
/// and no protocol. Everything that chooses a server does so by <see cref="TryAcquire"/> and gives it back by
/// <see cref="BackendLease.Complete"/>.
/// </summary>
public sealed class BackendPool
{
    private readonly Lock _gate = new();
    private volatile TaskCompletionSource _settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile PoolSnapshot _snapshot;

    /// <summary>Makes a pool of these backends; its health is settled once each was probed, or where none of them is.</summary>
    public BackendPool(string name, IBalancingPolicy policy, ImmutableArray<Backend> backends)
    {
        Name = name;
        _snapshot = new PoolSnapshot(backends, [], policy);
        Publish();
    }

    /// <summary>Raised after a backend went up or down, the first time too, on the thread that observed it; handlers must not block.</summary>
    public event Action<BackendPool, Backend>? HealthFlipped;

    /// <summary>
    /// Raised after failed attempts took a backend out, on the thread that observed it; handlers must not block. Somebody has to
    /// call <see cref="EndEjection"/> when its time is over.
    /// </summary>
    public event Action<BackendPool, Backend>? Ejected;

    /// <summary>The pool's name in the configuration.</summary>
    public string Name { get; }

    /// <summary>The pool as it is now. Read it once and use that: the next read may see another.</summary>
    public PoolSnapshot Snapshot => _snapshot;

    /// <summary>
    /// Completed while it is known whether anybody can serve: some backend is eligible, or every one has had its first probe.
    /// Otherwise "nobody is eligible" only means "not everybody was asked yet", and the task completes when that has changed.
    /// </summary>
    public Task Settled => _settled.Task;

    /// <summary>Chooses an eligible backend that has room and counts it as in flight until the lease is given back.</summary>
    /// <returns>Whether there was one.</returns>
    public bool TryAcquire(in SelectionContext context, [NotNullWhen(true)] out BackendLease? lease)
    {
        var policy = _snapshot.Policy;
        while (policy.Pick(context) is { } backend)
        {
            if (backend.TryEnter())
            {
                lease = new BackendLease(this, backend);
                return true;
            }
            // Somebody else took its last place in between; it no longer has room, so the next pick is another one.
        }
        lease = null;
        return false;
    }

    /// <summary>Takes in the result of one probe.</summary>
    public void ObserveProbe(Backend backend, bool succeeded, string reason) =>
        Apply(backend, backend.Health.ObserveProbe(succeeded, reason));

    /// <summary>Lets an ejected backend back in.</summary>
    public void EndEjection(Backend backend) => Apply(backend, backend.Health.EndEjection());

    /// <summary>Sets what the operator wants of a backend; holds for the next choice.</summary>
    public void SetAdminState(Backend backend, AdminState state)
    {
        backend.AdminState = state;
        Publish();
    }

    internal void Return(Backend backend, AttemptOutcome outcome, string reason)
    {
        backend.Leave(outcome);
        Apply(backend, backend.Health.ObserveAttempt(outcome, reason));
    }

    private void Apply(Backend backend, HealthChanges changes)
    {
        if (changes.HasFlag(HealthChanges.Flipped))
        {
            Publish();
            HealthFlipped?.Invoke(this, backend);
        }
        if (changes.HasFlag(HealthChanges.Ejected))
        {
            Ejected?.Invoke(this, backend);
        }
    }

    private void Publish()
    {
        lock (_gate)
        {
            var members = _snapshot.Members;
            var eligible = members.Where(backend => backend.IsEligible).ToImmutableArray();
            _snapshot = new PoolSnapshot(members, eligible, _snapshot.Policy.Over(eligible));
            if (!eligible.IsEmpty || !members.Any(backend => backend.Health.IsPending))
            {
                _settled.TrySetResult();
            }
            else if (_settled.Task.IsCompleted)
            {
                _settled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }
    }
}
