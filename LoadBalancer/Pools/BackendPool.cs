using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Pools;

/// <summary>
/// A named group of backends. Owns who is in it, what is in flight, who waits and the published snapshot; owns no I/O, no timer, no
/// retry and no protocol. Everything that chooses a server does so by <see cref="TryAcquire(in SelectionContext, out BackendLease?)"/>
/// and gives it back by <see cref="BackendLease.Complete"/>.
/// </summary>
public sealed class BackendPool
{
    // Within this time whoever chose a backend just before it left has counted itself in.
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly InFlightCounts _counts = new();
    private readonly List<(Backend Backend, long At)> _leavers = []; // whose slot is not free yet
    private volatile TaskCompletionSource _settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile PoolSnapshot _snapshot;

    /// <summary>Makes a pool of these backends; its health is settled once each was probed, or where none of them is.</summary>
    /// <param name="name">Its name in the configuration.</param>
    /// <param name="policy">How backends are chosen; over nobody yet.</param>
    /// <param name="backends">Its members, in the order of the configuration; they belong to this pool alone.</param>
    /// <param name="waitingRoom">How many may wait in its <see cref="WaitingRoom"/>.</param>
    public BackendPool(string name, IBalancingPolicy policy, ImmutableArray<Backend> backends, int waitingRoom = 0)
    {
        Name = name;
        Statistics = new PoolStatistics(name);
        WaitingRoom = new WaitingRoom(this, waitingRoom);
        _snapshot = new PoolSnapshot([], [], policy);
        SetMembers(backends);
    }

    /// <summary>Raised after a backend went up or down, the first time too, on the thread that observed it; handlers must not block.</summary>
    public event Action<BackendPool, Backend>? HealthFlipped;

    /// <summary>
    /// Raised after a backend was ejected, on the thread that observed it; handlers must not block. Somebody has to call
    /// <see cref="EndEjection"/> when <see cref="BackendHealth.EjectionTime"/> is over.
    /// </summary>
    public event Action<BackendPool, Backend>? Ejected;

    /// <summary>Raised after anything about the pool has changed; handlers must not block.</summary>
    public event Action<BackendPool>? SnapshotChanged;

    /// <summary>Raised after backends joined or left; handlers must not block.</summary>
    public event Action<BackendPool>? MembersChanged;

    /// <summary>The pool's name in the configuration.</summary>
    public string Name { get; }

    /// <summary>Whether its leases are for connections that are relayed, rather than for requests: status pages then show bytes instead of answers.</summary>
    public bool IsRelayed { get; set; }

    /// <summary>What it has done.</summary>
    public PoolStatistics Statistics { get; }

    /// <summary>Where work waits while all who could do it are full.</summary>
    public WaitingRoom WaitingRoom { get; }

    /// <summary>Whether its backends are workers that join it by themselves, so that nobody else can add one. Default false.</summary>
    public bool IsJoinedByWorkers { get; set; }

    /// <summary>Says how much waits for it in a listener's own queue; on any thread. Null where there is none.</summary>
    public Func<int>? Backlog { get; set; }

    /// <summary>How much work waits for a backend, in its own room or in a listener's queue.</summary>
    public int WaitingCount => WaitingRoom.Count + (Backlog?.Invoke() ?? 0);

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

    /// <summary>Takes this backend, for work that belongs to it: also while it drains, not while it is down, disabled or full.</summary>
    /// <returns>Whether it could be had.</returns>
    public bool TryAcquire(Backend backend, [NotNullWhen(true)] out BackendLease? lease)
    {
        lease = backend.IsOpenToItsOwn && backend.TryEnter() ? new BackendLease(this, backend) : null;
        return lease is not null;
    }

    /// <summary>Whether somebody eligible is left whom this work was not tried at, with room or without.</summary>
    public bool HasUntried(in SelectionContext context)
    {
        foreach (var backend in _snapshot.Eligible)
        {
            if (!context.HasTried(backend))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Takes in the result of one probe.</summary>
    public void ObserveProbe(Backend backend, bool succeeded, string reason) =>
        Apply(backend, backend.Health.ObserveProbe(succeeded, reason));

    /// <summary>Takes in the same result for several backends at once: one change of the pool, however many they are.</summary>
    public void ObserveProbes(IReadOnlyCollection<Backend> backends, bool succeeded, string reason)
    {
        var flipped = backends.Where(backend => backend.Health.ObserveProbe(succeeded, reason).HasFlag(HealthChanges.Flipped) && !backend.IsRemoved).ToList();
        if (flipped.Count > 0)
        {
            Publish();
            flipped.ForEach(backend => HealthFlipped?.Invoke(this, backend));
        }
    }

    /// <summary>Takes in a sign of life of a backend, or that none came in time.</summary>
    public void ObserveHeartbeat(Backend backend, bool isAlive, string reason) =>
        Apply(backend, backend.Health.ObserveHeartbeat(isAlive, reason));

    /// <summary>Lets an ejected backend back in.</summary>
    public void EndEjection(Backend backend) => Apply(backend, backend.Health.EndEjection());

    /// <summary>
    /// Changes one or several properties of the pool's backends together: weight, admin state, slow start, limit. Holds for the next choice.
    /// </summary>
    public void Change(Action change) => Publish(change);

    /// <summary>Chooses in another way from now on.</summary>
    /// <param name="policy">Over nobody yet.</param>
    public void SetPolicy(IBalancingPolicy policy) => Publish(policy: policy);

    /// <summary>Applies other rules to what is observed of a backend.</summary>
    public void SetRules(Backend backend, HealthRules rules) => Apply(backend, backend.Health.SetRules(rules));

    /// <summary>
    /// Changes who is in the pool. Who stays keeps everything; who goes finishes what is in flight and gets nothing new. Nobody comes
    /// back: a backend that is to be a member again is a new one.
    /// </summary>
    /// <param name="members">All members, in order.</param>
    public void SetMembers(ImmutableArray<Backend> members) => ChangeMembers(_ => members);

    /// <summary>Changes who is in the pool, see <see cref="SetMembers"/>, from what it is then: workers join and leave whenever they like.</summary>
    /// <param name="change">Makes the members of those that there are; must not call the pool.</param>
    /// <exception cref="InvalidOperationException">There would be too many, those included who left in the last minute; nothing has changed.</exception>
    public void ChangeMembers(Func<ImmutableArray<Backend>, ImmutableArray<Backend>> change)
    {
        ImmutableArray<Backend> ChangeSlots()
        {
            var before = _snapshot.Members;
            var members = change(before);
            var joining = members.Except(before).ToList();
            FreeSlotsNeedsLock();
            _counts.RequireSlots(joining.Count);
            foreach (var gone in before.Except(members))
            {
                gone.IsRemoved = true;
                _leavers.Add((gone, gone.Health.Time.GetTimestamp()));
            }
            joining.ForEach(joined => joined.Join(_counts));
            return members;
        }
        Publish(members: ChangeSlots);
        MembersChanged?.Invoke(this);
    }

    internal void Return(Backend backend, AttemptOutcome outcome, string reason)
    {
        backend.Leave(outcome);
        var changes = backend.Health.ObserveAttempt(outcome, reason, backend.Requests);
        if (changes != HealthChanges.None)
        {
            Apply(backend, changes.HasFlag(HealthChanges.Ejectable) ? EjectIfSpared(backend) : changes);
        }
        WaitingRoom.Serve();
    }

    // Failures alone are weak evidence: where many backends fail, the fault may well be with what they are asked, and whoever is left
    // would be drowned. So they take out half of the members at the most, and never the last; probes and refused connects may take out all.
    private HealthChanges EjectIfSpared(Backend backend)
    {
        lock (_gate)
        {
            var (members, eligible) = (_snapshot.Members, _snapshot.Eligible);
            var isSpared = members.Count(member => member.Health.IsOutForFailures) + 1 <= members.Length / 2 && eligible.Any(other => other != backend);
            return isSpared ? backend.Health.Eject() : HealthChanges.None;
        }
    }

    private void Apply(Backend backend, HealthChanges changes)
    {
        if (backend.IsRemoved)
        {
            return; // Its health is nobody's concern any more.
        }
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

    // No other backend may count in a slot in which a lease of the former one may still count.
    private void FreeSlotsNeedsLock()
    {
        foreach (var leaver in _leavers.Where(leaver => leaver.Backend.InFlight == 0 && leaver.Backend.Health.Time.GetElapsedTime(leaver.At) > Grace).ToList())
        {
            _leavers.Remove(leaver);
            _counts.FreeSlot(leaver.Backend.Slot);
        }
    }

    // Whoever reads the snapshot sees the one before or the one after, and nothing in between.
    private void Publish(Action? change = null, Func<ImmutableArray<Backend>>? members = null, IBalancingPolicy? policy = null)
    {
        lock (_gate)
        {
            change?.Invoke();
            Publish(members?.Invoke() ?? _snapshot.Members, policy ?? _snapshot.Policy);
        }
        WaitingRoom.Serve();
        SnapshotChanged?.Invoke(this);
    }

    private void Publish(ImmutableArray<Backend> members, IBalancingPolicy policy)
    {
        var eligible = members.Where(backend => backend.IsEligible).ToImmutableArray();
        var candidates = new Candidates(eligible, [.. eligible.Select(backend => backend.EffectiveWeight)], _counts);
        _snapshot = new PoolSnapshot(members, eligible, policy.Over(candidates));
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
