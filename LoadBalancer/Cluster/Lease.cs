namespace LoadBalancer.Cluster;

/// <summary>
/// A lease at etcd that is kept alive. It is counted from when a request was sent: etcd cannot have begun earlier. After four fifths of it
/// without an answer it is not safe any more; then it is suspended, not given up: if etcd still has it, it is safe again. What etcd has
/// ended is replaced by another one, with another number. Thread-safe.
/// </summary>
/// <param name="etcd">etcd.</param>
/// <param name="length">How long it lasts without being kept alive; whole seconds.</param>
/// <param name="clock">A clock that counts suspension: <see cref="SuspensionClock"/>.</param>
/// <param name="log">Gets what is unexpected.</param>
internal sealed class Lease(EtcdClient etcd, TimeSpan length, TimeProvider clock, ClusterLog log) : IDisposable
{
    // The clocks of this machine and of etcd's may differ a little in their rates, and a node that waits for the end must not be early.
    internal const double SafePart = 0.8;
    private const int MostOwn = 16;
    private static readonly TimeSpan LongestRevoke = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(250);

    private readonly Lock _gate = new();
    private readonly List<long> _own = []; // the last ones
    private ITimer? _suspension;
    private State _state = new(0, 0, TimeSpan.Zero);
    private long _revoked; // the last number that was given up: a late answer does not bring it back
    private volatile bool _isPinned;

    /// <summary>Called when it is safe, safe no more, or another one. May be called from any thread, also at the same time.</summary>
    public event Action? Changed;

    /// <summary>Its number; 0 where there is none. It may be suspended.</summary>
    public long Id => Volatile.Read(ref _state).Id;

    /// <summary>
    /// How long it is safe from now on: until then nobody else can have what is held with it. Zero or less: it is not safe.
    /// </summary>
    public TimeSpan SafeFor => Volatile.Read(ref _state) is { Id: not 0 } state
        ? (state.Length * SafePart) - clock.GetElapsedTime(state.SentAt) : TimeSpan.Zero;

    /// <summary>Whether it is safe now. To be asked before each thing that only its holder may do.</summary>
    public bool IsSafe => SafeFor > TimeSpan.Zero;

    /// <summary>Why it was not kept alive at the last try; null where it was.</summary>
    public string? Error { get; private set; }

    /// <summary>Whether a number is of this one, now or formerly: what is held with it is nobody else's.</summary>
    public bool IsOwn(long id)
    {
        lock (_gate)
        {
            return _own.Contains(id);
        }
    }

    /// <summary>Goes on with the lease of the process that this one replaces. Not safe before etcd has answered.</summary>
    public void Adopt(long id) => Set(id, clock.GetTimestamp(), TimeSpan.Zero);

    /// <summary>Keeps only the present number alive from now on: another one is of no use to a process that was replaced.</summary>
    public void Pin() => _isPinned = true;

    /// <summary>How long to wait after a failed call: two calls and this fit into the time for which a lease is safe.</summary>
    public static TimeSpan PauseAfterFailure(TimeSpan length) => length / 20 < LongestPause ? length / 20 : LongestPause;

    /// <summary>Takes it, or keeps it alive, until that is cancelled. <see cref="RevokeAsync"/> ends it.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var pause = await RenewAsync(cancellationToken);
            await Task.Delay(pause, clock, cancellationToken);
        }
    }

    /// <summary>Takes it, or keeps it alive, once. Says in <see cref="Error"/> where that was not possible.</summary>
    /// <returns>How long to wait before the next time.</returns>
    public async Task<TimeSpan> RenewAsync(CancellationToken cancellationToken)
    {
        var sentAt = clock.GetTimestamp();
        try
        {
            if (Id is not 0 and var id)
            {
                if (await etcd.KeepAliveAsync(id, cancellationToken) is { } left)
                {
                    Set(id, sentAt, left);
                    return UntilNext(sentAt, left);
                }
                if (!_isPinned)
                {
                    log.LeaseEnded();
                }
                Set(0, sentAt, TimeSpan.Zero);
                sentAt = clock.GetTimestamp();
            }
            if (_isPinned)
            {
                return length / 3;
            }
            var granted = await etcd.GrantAsync(length, cancellationToken);
            Set(granted.Id, sentAt, granted.Length);
            return UntilNext(sentAt, granted.Length);
        }
        catch (EtcdException e)
        {
            Error = e.Message;
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            Error = e.Message;
            log.Unexpected(e, "keeping the lease alive");
        }
        return PauseAfterFailure(length);
    }

    /// <summary>
    /// Ends it, and what is held with it, so that nobody waits for that. Where <see cref="RunAsync"/> goes on, it takes another one.
    /// </summary>
    public async Task RevokeAsync()
    {
        if (Id is not 0 and var id)
        {
            Drop();
            using var longest = new CancellationTokenSource(LongestRevoke, clock);
            try
            {
                await etcd.RevokeAsync(id, longest.Token);
            }
            catch (Exception e) when (e is EtcdException or OperationCanceledException)
            {
                log.NotRevoked(length.TotalSeconds, e is EtcdException ? e.Message : "etcd does not answer");
            }
        }
    }

    /// <summary>Has it no more, and does not end it: another process goes on with it.</summary>
    public void Drop()
    {
        Interlocked.Exchange(ref _revoked, Id);
        Set(0, clock.GetTimestamp(), TimeSpan.Zero);
    }

    /// <inheritdoc/>
    public void Dispose() => _suspension?.Dispose();

    // The lease of a process with another configuration may be shorter.
    private TimeSpan UntilNext(long sentAt, TimeSpan left)
    {
        Error = null;
        var pause = ((left < length ? left : length) / 3) - clock.GetElapsedTime(sentAt);
        return pause > TimeSpan.Zero ? pause : TimeSpan.Zero;
    }

    private void Set(long id, long sentAt, TimeSpan left)
    {
        var isChanged = false;
        lock (_gate)
        {
            if (id != 0 && id == Interlocked.Read(ref _revoked))
            {
                return;
            }
            var wasSafe = IsSafe;
            isChanged = id != _state.Id;
            if (id != 0 && !_own.Contains(id))
            {
                _own.Add(id);
                _own.RemoveRange(0, Math.Max(0, _own.Count - MostOwn)); // Those before have ended long ago, and their keys with them.
            }
            Volatile.Write(ref _state, new State(id, sentAt, left < length ? left : length));
            isChanged |= wasSafe != IsSafe;
            // A timer of its own: it must not wait for what waits for etcd.
            _suspension ??= clock.CreateTimer(_ => OnDue(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _suspension.Change(IsSafe ? SafeFor : Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
        if (isChanged)
        {
            Raise();
        }
    }

    private void OnDue()
    {
        lock (_gate)
        {
            if (SafeFor is var left && left > TimeSpan.Zero) // The timer is early, or the lease was kept alive in this instant.
            {
                _suspension!.Change(left + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
                return;
            }
        }
        Raise();
    }

    private void Raise()
    {
        try
        {
            Changed?.Invoke();
        }
        catch (Exception e)
        {
            log.Unexpected(e, "using the lease");
        }
    }

    private sealed record State(long Id, long SentAt, TimeSpan Length);
}
