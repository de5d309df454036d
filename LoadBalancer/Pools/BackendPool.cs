using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;
using LoadBalancer.Pools.Statistics;

namespace LoadBalancer.Pools;

/// <summary>
/// A named group of backends. It owns its members, the in-flight counts, the queue and the published snapshot. It does no I/O and no
/// retry, knows no protocol, and has no timer except the time-out of its queue. Every choice of a backend is made by
/// <see cref="TryAcquire(in SelectionContext, out BackendLease?)"/>, or by <see cref="AcquireAsync"/> where the work can wait, and ends
/// with <see cref="BackendLease.Complete"/>.
/// </summary>
public sealed partial class BackendPool
{
    // A request that chose a backend just before the backend left is counted within this time.
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly InFlightCounts _counts = new();
    private readonly LimitHold _hold = new();
    private readonly List<(Backend Backend, long At)> _leavers = []; // backends that left, and whose slot is not free yet
    private int _unsettled; // requests that wait for the first probe results
    private volatile TaskCompletionSource _settled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile PoolSnapshot _snapshot;

    /// <summary>Makes a pool of these backends.</summary>
    /// <param name="name">Its name in the configuration.</param>
    /// <param name="policy">How backends are chosen; made without backends.</param>
    /// <param name="backends">Its members, in the order of the configuration; they belong to this pool alone.</param>
    /// <param name="queueLimit">The most requests that may wait in its <see cref="RequestQueue"/>.</param>
    public BackendPool(string name, IBalancingPolicy policy, ImmutableArray<Backend> backends, int queueLimit = 0)
    {
        Name = name;
        Statistics = new PoolStatistics(name);
        RequestQueue = new RequestQueue(this, queueLimit);
        _snapshot = new PoolSnapshot([], [], policy, int.MaxValue, []);
        SetMembers(backends);
    }

    /// <summary>
    /// Raised after a backend went up or down, including its first result, on the thread that observed it; handlers must not block.
    /// </summary>
    public event Action<BackendPool, Backend>? HealthFlipped;

    /// <summary>
    /// Raised after a backend was ejected, on the thread that observed it; handlers must not block. One of them must call
    /// <see cref="EndEjection"/> after <see cref="BackendHealth.EjectionTime"/>.
    /// </summary>
    public event Action<BackendPool, Backend>? Ejected;

    /// <summary>Raised after anything about the pool has changed; handlers must not block.</summary>
    public event Action<BackendPool>? SnapshotChanged;

    /// <summary>Raised after backends joined or left; handlers must not block.</summary>
    public event Action<BackendPool>? MembersChanged;

    /// <summary>The pool's name in the configuration.</summary>
    public string Name { get; }

    /// <summary>
    /// Whether its leases are for connections that are relayed, and not for requests: status pages then show bytes, not responses.
    /// </summary>
    public bool IsRelayed { get; set; }

    /// <summary>As how long a time a failed attempt counts for <see cref="Backend.Expected"/>. Default 1 min.</summary>
    public TimeSpan FailureTime { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>Its counters.</summary>
    public PoolStatistics Statistics { get; }

    /// <summary>The queue for work while every backend that could do it is at its limit.</summary>
    public RequestQueue RequestQueue { get; }

    /// <summary>Whether its backends are workers that register themselves, so that an operator cannot add one. Default false.</summary>
    public bool IsJoinedByWorkers { get; set; }

    /// <summary>
    /// Whether it is not known yet who all its members are, because names are looked up for the first time: then work waits for that where
    /// there is no backend. Changed through <see cref="Change"/>. Default false.
    /// </summary>
    public bool AwaitsMembers { get; internal set; }

    /// <summary>
    /// What the policy hashes in the place of the client's address, for status pages; null if nothing else is configured. Changed through
    /// <see cref="Change"/>.
    /// </summary>
    public string? HashKey { get; internal set; }

    /// <summary>What its backends were last compared with; null where outliers are not looked for.</summary>
    public PoolOutliers? Outliers { get; internal set; }

    /// <summary>Counts the work in a listener's own queue for this pool; called on any thread. Null if there is no such queue.</summary>
    public Func<int>? Backlog { get; set; }

    /// <summary>How much work waits for a backend, in <see cref="RequestQueue"/> or in a listener's queue.</summary>
    public int WaitingCount => RequestQueue.Count + (Backlog?.Invoke() ?? 0);

    /// <summary>
    /// Whether nothing is in flight, also on backends that have left, and nothing waits. Between two attempts a request is, for a moment,
    /// neither in flight nor waiting.
    /// </summary>
    public bool IsIdle => Volatile.Read(ref _unsettled) == 0 && WaitingCount == 0 && !_counts.All.ContainsAnyExcept(0);

    /// <summary>The pool as it is now. Read it once and use that: the next read may see another.</summary>
    public PoolSnapshot Snapshot => _snapshot;

    /// <summary>
    /// Completed while it is known whether a backend can serve: one is eligible, or all are known and have had their first probe. Otherwise
    /// the task completes as soon as that is so.
    /// </summary>
    public Task Settled => _settled.Task;

    /// <summary>
    /// Chooses an eligible backend that has room and counts it as in flight until the lease is given back. It is of the lowest tier that
    /// has one on which the work was not tried: a stand-by does not serve because the others are full.
    /// </summary>
    /// <returns>Whether there was one.</returns>
    public bool TryAcquire(in SelectionContext context, [NotNullWhen(true)] out BackendLease? lease)
    {
        var snapshot = _snapshot;
        return TryAcquire(snapshot.Policy, context, out lease)
            || _hold.IsAny && _hold.End() && TryAcquire(snapshot.Policy, context, out lease) // It costs nobody a response.
            || context.HasTriedAny && !context.IsHedge && TryAcquireStandBy(snapshot, context, out lease);
    }

    /// <summary>The same, but only while the queue is empty: a backend that has just become free goes to waiting work first.</summary>
    /// <returns>Whether there was one, and the queue is empty.</returns>
    public bool TryAcquireInTurn(in SelectionContext context, [NotNullWhen(true)] out BackendLease? lease)
    {
        lease = null;
        return RequestQueue.Count == 0 && TryAcquire(context, out lease);
    }

    /// <summary>
    /// Chooses an eligible backend in turn, see <see cref="TryAcquireInTurn"/>. If there is none it waits: without limit for the first
    /// probes, which may still run when the node has just started; then in the queue, while every untried backend is full.
    /// </summary>
    /// <param name="context">The work, and the backends on which it was tried.</param>
    /// <param name="queueTimeout">How long it may wait in the queue.</param>
    /// <param name="time">The clock of the time-out.</param>
    /// <param name="cancellationToken">Ends either wait.</param>
    public async ValueTask<Admission> AcquireAsync(
        SelectionContext context, TimeSpan queueTimeout, TimeProvider time, CancellationToken cancellationToken)
    {
        if (TryAcquireInTurn(context, out var free))
        {
            return new(free, Rejection.None);
        }
        if (!Settled.IsCompleted)
        {
            Interlocked.Increment(ref _unsettled);
            await Settled.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Interlocked.Decrement(ref _unsettled);
            if (!cancellationToken.IsCancellationRequested && TryAcquireInTurn(context, out var settled))
            {
                return new(settled, Rejection.None);
            }
        }
        if (cancellationToken.IsCancellationRequested)
        {
            return new(null, Rejection.Cancelled);
        }
        if (!HasUntried(context))
        {
            return new(null, Rejection.NoBackend);
        }
        using var late = new CancellationTokenSource(queueTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        if (RequestQueue.TryEnqueue(context, either.Token) is not { } waiting)
        {
            return new(null, Rejection.QueueFull);
        }
        return await waiting is { } lease ? new(lease, Rejection.None)
            : cancellationToken.IsCancellationRequested ? new(null, Rejection.Cancelled)
            : new(null, late.IsCancellationRequested ? Rejection.QueueTimeout : Rejection.NoBackend);
    }

    /// <summary>
    /// Takes this backend, for work that is bound to it (a sticky session): also while it drains, but not a stand-by while a lower tier
    /// serves.
    /// </summary>
    /// <returns>False if the backend is down, disabled, full or on stand-by.</returns>
    public bool TryAcquire(Backend backend, [NotNullWhen(true)] out BackendLease? lease)
    {
        lease = null;
        if (!IsOpenToItsOwn(backend))
        {
            return false;
        }
        var isEntered = backend.TryEnter(out var awaiting);
        if (!isEntered && _hold.IsOf(backend))
        {
            _hold.End();
            isEntered = backend.TryEnter(out awaiting);
        }
        lease = isEntered ? new BackendLease(this, backend, awaiting) : null;
        return isEntered;
    }

    /// <summary>Whether a backend is there for work that is bound to it, perhaps without room.</summary>
    internal bool IsOpenToItsOwn(Backend backend) => backend.IsOpenToItsOwn && backend.Tier <= _snapshot.Tier;

    /// <summary>Whether there is an eligible backend on which this work was not tried and may be, with or without room.</summary>
    public bool HasUntried(in SelectionContext context)
    {
        var snapshot = _snapshot;
        return snapshot.HasUntried(context, belowTier: context.IsHedge ? snapshot.Tier + 1L : long.MaxValue);
    }

    /// <summary>
    /// Changes properties of the pool's backends together: weight, admin state, slow start, limit. Holds for the next choice.
    /// </summary>
    /// <param name="change">Sets them; must not call the pool.</param>
    public void Change(Action change) => Update(_ => change());

    /// <summary>Changes the members, starting from the present ones: workers join and leave at any time.</summary>
    /// <param name="change">Makes the new members out of the present ones; must not call the pool.</param>
    /// <exception cref="InvalidOperationException">See <see cref="RequireSlots"/>; nothing has changed.</exception>
    public void ChangeMembers(Func<ImmutableArray<Backend>, ImmutableArray<Backend>> change) =>
        Update(update => update.Members = change(update.Members));

    /// <summary>Sets the members, in order.</summary>
    /// <exception cref="InvalidOperationException">See <see cref="RequireSlots"/>; nothing has changed.</exception>
    public void SetMembers(ImmutableArray<Backend> members) => Update(update => update.Members = members);

    /// <summary>
    /// Changes any number of things together: members, policy, rules, and properties of backends. They are published together: each choice
    /// of a backend sees the pool before the change or after it. Earlier choices stay valid.
    /// </summary>
    /// <param name="change">Sets them; must not call the pool.</param>
    /// <exception cref="InvalidOperationException">
    /// There would be too many members, see <see cref="RequireSlots"/>; they stay as they were.
    /// </exception>
    public void Update(Action<PoolUpdate> change)
    {
        PoolUpdate update;
        bool isJoinedOrLeft;
        lock (_gate)
        {
            var before = _snapshot.Members;
            update = new PoolUpdate(_snapshot);
            change(update);
            isJoinedOrLeft = update.Members != before;
            if (isJoinedOrLeft)
            {
                ChangeSlotsNeedsLock(before, update.Members);
            }
            PublishNeedsLock(update.Members, update.Policy);
        }
        RequestQueue.Serve();
        SnapshotChanged?.Invoke(this);
        if (isJoinedOrLeft)
        {
            MembersChanged?.Invoke(this);
        }
        foreach (var backend in update.Flipped.Where(backend => !backend.IsRemoved))
        {
            HealthFlipped?.Invoke(this, backend);
        }
    }

    /// <summary>Makes sure that so many backends can join.</summary>
    /// <exception cref="InvalidOperationException">There would be too many, including those that left in the last minute.</exception>
    public void RequireSlots(int joining)
    {
        lock (_gate)
        {
            FreeSlotsNeedsLock();
            _counts.RequireSlots(joining);
        }
    }

    private bool TryAcquire(IBalancingPolicy policy, in SelectionContext context, [NotNullWhen(true)] out BackendLease? lease)
    {
        while (policy.Pick(context) is { } backend)
        {
            if (backend.TryEnter(out var awaiting))
            {
                lease = new BackendLease(this, backend, awaiting);
                return true;
            }
            // Another thread took its last free slot. It has no room now, so the next pick is another backend.
        }
        lease = null;
        return false;
    }

    private bool TryAcquireStandBy(PoolSnapshot snapshot, in SelectionContext context, [NotNullWhen(true)] out BackendLease? lease)
    {
        lease = null;
        foreach (var (tier, policy) in snapshot.StandBys)
        {
            if (snapshot.HasUntried(context, belowTier: tier))
            {
                return false;
            }
            if (TryAcquire(policy, context, out lease))
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>A lease of a backend with an adaptive limit no longer waits for a response.</summary>
    /// <param name="backend">The backend.</param>
    /// <param name="elapsed">How long it waited; null if that says nothing.</param>
    /// <param name="awaiting">How many waited with it when it was sent.</param>
    internal void EndAwaiting(Backend backend, TimeSpan? elapsed, int awaiting)
    {
        if (backend.Adaptive is { } limit && elapsed is { } time && limit.Observe(time, awaiting))
        {
            _hold.Revise(backend, limit, _snapshot);
        }
    }

    internal void Return(Backend backend, AttemptOutcome outcome, string reason)
    {
        backend.Leave(outcome);
        var changes = backend.Health.ObserveAttempt(outcome, reason, backend.Requests);
        if (changes != HealthChanges.None)
        {
            Apply(backend, changes.HasFlag(HealthChanges.Ejectable) ? EjectIfSpared(backend) : changes);
        }
        RequestQueue.Serve();
    }

    private void ChangeSlotsNeedsLock(ImmutableArray<Backend> before, ImmutableArray<Backend> members)
    {
        var joining = members.Except(before).ToList();
        FreeSlotsNeedsLock();
        _counts.RequireSlots(joining.Count);
        foreach (var gone in before.Except(members))
        {
            gone.IsRemoved = true;
            _leavers.Add((gone, gone.Health.Time.GetTimestamp()));
        }
        joining.ForEach(joined => joined.Join(_counts));
    }

    // A slot must not be reused while a lease of its former backend may still count in it.
    private void FreeSlotsNeedsLock()
    {
        bool IsFree((Backend Backend, long At) leaver) =>
            leaver.Backend.InFlight == 0 && leaver.Backend.Health.Time.GetElapsedTime(leaver.At) > Grace;
        foreach (var leaver in _leavers.Where(IsFree).ToList())
        {
            _leavers.Remove(leaver);
            _counts.FreeSlot(leaver.Backend.Slot);
        }
    }

    private void PublishNeedsLock(ImmutableArray<Backend> members, IBalancingPolicy policy)
    {
        _snapshot = PoolSnapshot.Of(members, policy, _counts, isStarting: !_settled.Task.IsCompleted);
        if (_snapshot.Eligible.Length < members.Length)
        {
            _hold.End();
        }
        if (_snapshot.IsServed || !AwaitsMembers && !members.Any(backend => backend.Health.IsPending))
        {
            _settled.TrySetResult();
        }
        else if (_settled.Task.IsCompleted)
        {
            _settled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}
