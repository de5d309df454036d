using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Cluster;

/// <summary>
/// A role that only one node of the cluster has at a time: who holds the key that ends with its lease. Nobody else has it as long as
/// <see cref="CheckHeld"/>, which is to be asked before each thing that only the holder may do: it compares a clock that counts suspension
/// with the time to which the lease is safe, and with the time when etcd has confirmed the key last, and waits for nothing.
/// <para>
/// The key may be gone although its holder lives: an operator has deleted it, or etcd came back from a backup. The holder writes it again,
/// or stops before a lease has passed since etcd has confirmed it. So a node takes a role without a key only where it has seen the key go
/// and etcd says that the lease of the former holder is gone too, or after the key was missing for a whole lease.
/// </para>
/// <para>
/// A holder without contact is suspended, not out: the same lease is its own again as soon as etcd says that the key still has it.
/// </para>
/// </summary>
internal sealed class LeaderLease : IDisposable
{
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    private readonly EtcdClient _etcd;
    private readonly KeyWatch _keys;
    private readonly string _key;
    private readonly string _term; // who had the role last; stays, so that a change of it is seen
    private readonly string _candidate;
    private readonly string _value;
    private readonly TimeSpan _length;
    private readonly TimeProvider _clock;
    private readonly ClusterLog _log;
    private readonly Lease _lease;
    private readonly CancellationTokenSource _stop = new();
    private readonly WakeUp _wake;
    private readonly Lock _gate = new();
    private readonly ITimer _confirmation; // its own, as that of the lease: it must not wait for what waits for etcd
    private Task _running = Task.CompletedTask;
    private long _held; // the lease with which the key is ours; 0: it is not
    private long _confirmedAt; // when etcd was asked that has said last that the key is ours
    private bool _wasHeld;
    private long _claimed; // the lease with which it may be ours: a write was sent, or the process before has held it
    private long _heldTerm; // when it became ours: the revision of etcd
    private EtcdKey? _gone; // the last key that was seen to go, with a lease that is not the present one of this node
    private (long Since, long Term) _missing; // how long the key is missing by etcd's word, without a break; 0: it is not
    private long _registered; // the lease of our key as a candidate
    private long _pausedAt;
    private volatile bool _isPaused;
    private long _handedOn; // the lease that was offered to another process
    private bool _isOthers; // another process goes on with the lease
    private volatile bool _isReplaced; // another process wants the role in place of this one

    /// <summary>Makes it; nothing is sent before <see cref="Start"/>.</summary>
    /// <param name="etcd">etcd.</param>
    /// <param name="keys">Follows all keys of the cluster.</param>
    /// <param name="prefix">What all keys of the cluster begin with.</param>
    /// <param name="role">The name of the role.</param>
    /// <param name="node">The name of this node.</param>
    /// <param name="address">The address of this node for those who use the role.</param>
    /// <param name="length">How long the lease is; the same at all nodes.</param>
    /// <param name="clock">A clock that counts suspension.</param>
    /// <param name="log">Gets what is unexpected.</param>
    public LeaderLease(
        EtcdClient etcd, KeyWatch keys, string prefix, string role, string node, string address, TimeSpan length, TimeProvider clock,
        ClusterLog log)
    {
        (_etcd, _keys, _length, _clock, _log) = (etcd, keys, length, clock, log);
        _wake = new WakeUp(clock);
        var name = Uri.EscapeDataString(role.ToLowerInvariant()); // Names of listeners that differ in case alone are the same.
        (_key, _term, CandidatesPrefix) = ($"{prefix}main/{name}", $"{prefix}terms/{name}", $"{prefix}candidates/{name}/");
        _candidate = CandidatesPrefix + node;
        _value = JsonText.Of(new JsonObject { ["node"] = node, ["address"] = address });
        _lease = new Lease(etcd, length, clock, log);
        _confirmation = clock.CreateTimer(_ => OnDue(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _lease.Changed += OnLeaseChanged;
        keys.Changed += OnKeysChanged;
    }

    /// <summary>
    /// Whether another process may still do work under a lease: it was handed over by that process, which has not ended. Such a lease is
    /// not ended here, because another node would have the role at once.
    /// </summary>
    public Func<long, bool> IsShared { get; init; } = _ => false;

    /// <summary>Called when it is held, or held no more; from any thread, and not always in order: ask <see cref="IsHeld"/>.</summary>
    public event Action? Changed;

    /// <summary>Whether this node has the role, now.</summary>
    public bool IsHeld =>
        Interlocked.Read(ref _held) is not 0 and var id && id == _lease.Id && _lease.IsSafe && ConfirmedFor > TimeSpan.Zero;

    /// <summary>
    /// The same, for a caller that acts on it: where it has just ended, <see cref="Changed"/> is called although the timers do not know it
    /// yet. They do not count suspension.
    /// </summary>
    public bool CheckHeld()
    {
        if (IsHeld)
        {
            return true;
        }
        if (Interlocked.Read(ref _held) != 0)
        {
            OnLeaseChanged();
        }
        return false;
    }

    /// <summary>The number of the lease, for the process that replaces this one; 0 where the role is not held.</summary>
    public long HandOver() => _handedOn = IsHeld ? _lease.Id : 0;

    /// <summary>The address of another node that would take the role; null where there is none.</summary>
    public string? OtherCandidate => _keys.Current.Keys.Values
        .Where(key => key.Key.StartsWith(CandidatesPrefix, StringComparison.Ordinal) && key.Key != _candidate)
        .Select(key => Text(key.Value, "address")).FirstOrDefault(address => address is not null);

    /// <summary>Wants the role from now on.</summary>
    /// <param name="handed">The lease with which the process before has held it; 0 for none.</param>
    public void Start(long handed)
    {
        if (handed != 0)
        {
            _claimed = handed;
            _lease.Adopt(handed);
        }
        _running = Task.WhenAll(GuardAsync(_lease.RunAsync(_stop.Token)), GuardAsync(RunAsync()));
    }

    /// <summary>
    /// Another process wants the role from now on, and this one does not. The lease that was handed over is kept alive here too while this
    /// one finishes its work, and not ended; one that was taken after that is ended, so that the other process gets the role.
    /// </summary>
    public void HandOn()
    {
        _isReplaced = true;
        _lease.Pin();
        Volatile.Write(ref _isOthers, _handedOn != 0 && _handedOn == _lease.Id);
    }

    /// <summary>
    /// Gives the role back, so that another node takes it at once. Only when nothing of it is done any more. Waits two seconds at most for
    /// a process that shares the lease, and as long for etcd.
    /// </summary>
    public async Task ReleaseAsync()
    {
        await _stop.CancelAsync();
        await _running;
        _keys.Changed -= OnKeysChanged;
        Interlocked.Exchange(ref _held, 0);
        if (!Volatile.Read(ref _isOthers))
        {
            for (var begun = _clock.GetTimestamp(); IsShared(_lease.Id) && _clock.GetElapsedTime(begun) < LongestWait;)
            {
                await Task.Delay(Look, _clock);
            }
            await EndLeaseAsync();
        }
    }

    /// <summary>Gives the role back because this node cannot do it now, and wants it again after two leases.</summary>
    public async Task YieldAsync()
    {
        Interlocked.Exchange(ref _held, 0);
        _pausedAt = _clock.GetTimestamp();
        _isPaused = true;
        Volatile.Write(ref _claimed, 0);
        await EndLeaseAsync();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Cancel();
        _lease.Changed -= OnLeaseChanged;
        _keys.Changed -= OnKeysChanged;
        _lease.Dispose();
        _confirmation.Dispose();
    }

    private string CandidatesPrefix { get; }

    private TimeSpan AskAgain => Lease.PauseAfterFailure(_length);

    private TimeSpan ConfirmedFor => (_length * Lease.SafePart) - _clock.GetElapsedTime(Interlocked.Read(ref _confirmedAt));

    /// <summary>The node that a key of a role names.</summary>
    public static string? NodeOf(string value) => Text(value, "node");

    private static string? Text(string value, string member)
    {
        try
        {
            return EtcdText.Text(EtcdText.Object(System.Text.Encoding.UTF8.GetBytes(value)), member);
        }
        catch (FormatException)
        {
            return null;
        }
    }

    private static async Task GuardAsync(Task loop)
    {
        try
        {
            await loop;
        }
        catch (OperationCanceledException)
        {
            // It was stopped.
        }
    }

    private async Task RunAsync()
    {
        while (true)
        {
            var pause = _length / 3;
            try
            {
                pause = await CheckAsync(_stop.Token);
            }
            catch (EtcdException e)
            {
                if (e.Message.Contains("requested lease not found", StringComparison.Ordinal))
                {
                    Lose(); // Another node may know that too, and take the role.
                }
                _missing = default; // Nobody knows what happens meanwhile.
                pause = AskAgain; // The role ends by itself where that goes on.
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                _log.Unexpected(e, "keeping a role");
            }
            await _wake.WaitAsync(pause, _stop.Token);
        }
    }

    // Returns when to look again at the latest.
    private async Task<TimeSpan> CheckAsync(CancellationToken cancellationToken)
    {
        var id = _lease.Id;
        if (!_lease.IsSafe)
        {
            _missing = default;
            return _length / 3;
        }
        if (_registered != id && !_isReplaced)
        {
            await _etcd.TransactAsync([], [EtcdChange.Put(_candidate, _value, id)], null, cancellationToken);
            _registered = id;
        }
        // Who has it by etcd's word, now? The term first: who takes the role changes it.
        var term = Only(await _etcd.GetAsync(_term, cancellationToken))?.Changed ?? 0;
        var asked = _clock.GetTimestamp();
        var key = Only(await _etcd.GetAsync(_key, cancellationToken));
        var isHeld = Interlocked.Read(ref _held) == id;
        if (key?.Lease == id)
        {
            if (isHeld || Volatile.Read(ref _claimed) == id)
            {
                Hold(id, key.Created, asked);
            }
            else if (!_isReplaced)
            {
                // An etcd from a backup has it for this node, which knows nothing of it: another one may have the role.
                await _etcd.TransactAsync([EtcdCondition.HasLease(_key, id)], [EtcdChange.Delete(_key)], null, cancellationToken);
            }
            return UntilNext(asked);
        }
        if (key is not null)
        {
            Lose();
            _missing = default;
            return _length / 3;
        }
        if (isHeld && term != _heldTerm)
        {
            Lose(); // Etcd came back from a backup: another node may wait for its end of a lease already.
            isHeld = false;
        }
        if (_isReplaced)
        {
            // The other process writes it again, or has given it back.
            Interlocked.Exchange(ref _held, 0);
            Tell();
            return AskAgain;
        }
        if ((!isHeld || term != _heldTerm) && await WhenMayTakeAsync(id, term, cancellationToken) is { } wait)
        {
            return wait;
        }
        Volatile.Write(ref _claimed, id); // also where the answer is lost
        asked = _clock.GetTimestamp();
        var answer = await _etcd.TransactAsync(
            [EtcdCondition.IsAbsent(_key), EtcdCondition.IsChangedAt(_term, term)],
            [EtcdChange.Put(_key, _value, id), EtcdChange.Put(_term, _value)], null, cancellationToken);
        if (answer.Succeeded)
        {
            Hold(id, answer.Header.Revision, asked);
        }
        return answer.Succeeded ? UntilNext(asked) : TimeSpan.Zero;
    }

    // Of a holder: a quarter, a call that hangs, and another one fit into the time for which it is safe. A process that was replaced must
    // see soon that the other one has given the role back.
    private TimeSpan UntilNext(long asked)
    {
        var pause = _isReplaced ? AskAgain : (_length / 4) - _clock.GetElapsedTime(asked);
        return pause > TimeSpan.Zero ? pause : TimeSpan.Zero;
    }

    // The key is missing. Null: it may be taken now.
    private async Task<TimeSpan?> WhenMayTakeAsync(long id, long term, CancellationToken cancellationToken)
    {
        if (_isPaused && _clock.GetElapsedTime(_pausedAt) < 2 * _length)
        {
            return _length / 3;
        }
        _isPaused = false;
        if (Volatile.Read(ref _claimed) == id && term == _heldTerm)
        {
            return null; // It was this node's, and nobody else's since.
        }
        if (Volatile.Read(ref _gone) is { } gone && gone.Created == term)
        {
            return await _etcd.IsAliveAsync(gone.Lease, cancellationToken) ? AskAgain : null;
        }
        if (_missing.Since == 0 || _missing.Term != term)
        {
            _missing = (_clock.GetTimestamp(), term);
        }
        var left = _length - _clock.GetElapsedTime(_missing.Since);
        return left > TimeSpan.Zero ? left : null;
    }

    // And not only the key: others ask whether the lease is gone. One that is shared ends when nobody keeps it alive any more.
    private async Task EndLeaseAsync()
    {
        if (IsShared(_lease.Id))
        {
            _lease.Drop();
        }
        else
        {
            await _lease.RevokeAsync();
        }
    }

    private static EtcdKey? Only(EtcdRange range) => range.Keys.Count > 0 ? range.Keys[0] : null;

    private void Hold(long id, long term, long asked)
    {
        (_heldTerm, _missing) = (term, default);
        Interlocked.Exchange(ref _confirmedAt, asked);
        Interlocked.Exchange(ref _held, id);
        _confirmation.Change(ConfirmedFor is var left && left > TimeSpan.Zero ? left : TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        Tell();
    }

    private void Lose()
    {
        Interlocked.Exchange(ref _held, 0);
        Volatile.Write(ref _claimed, 0);
        Tell();
    }

    private void Tell()
    {
        lock (_gate)
        {
            if (_wasHeld == IsHeld)
            {
                return;
            }
            _wasHeld = !_wasHeld;
        }
        Changed?.Invoke();
    }

    private void OnDue()
    {
        if (ConfirmedFor is var left && left > TimeSpan.Zero) // The timer is early, or it was confirmed in this instant.
        {
            _confirmation.Change(left + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
            return;
        }
        OnLeaseChanged();
    }

    // By the lease's own timer too, which waits for nothing: so a holder hears of its end even while etcd is silent.
    private void OnLeaseChanged()
    {
        if (Interlocked.Read(ref _held) is not 0 and var id && !IsHeld)
        {
            Interlocked.CompareExchange(ref _held, 0, id); // Etcd must say first that the key is still this node's.
        }
        Tell();
        _wake.Set();
    }

    private void OnKeysChanged(KeyChange change)
    {
        var (before, now) = (change.Before.Keys.GetValueOrDefault(_key), change.Now.Keys.GetValueOrDefault(_key));
        if (change.IsRestored)
        {
            Volatile.Write(ref _gone, null);
            Interlocked.Exchange(ref _registered, 0);
            Lose(); // The key may be that of an earlier time.
        }
        else if (before is not null && now is null)
        {
            Volatile.Write(ref _gone, before.Lease == _lease.Id ? null : before); // This node knows of its own.
        }
        if (change.IsRestored || before?.Lease != now?.Lease)
        {
            _wake.Set();
        }
    }
}
