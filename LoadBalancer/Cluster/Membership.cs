using LoadBalancer.Diagnostics;

namespace LoadBalancer.Cluster;

/// <summary>
/// The key with the name of this node, which ends with its lease. It is written where nobody has it, or a lease of this process does: a
/// write whose answer was lost is found that way. So the name is never two nodes' at once. It is written again where there is something
/// else to say of the node.
/// </summary>
/// <param name="key">The key.</param>
/// <param name="name">The name of this node.</param>
/// <param name="describe">Describes this node.</param>
/// <param name="length">How long a lease is.</param>
/// <param name="etcd">etcd.</param>
/// <param name="lease">The lease; nothing else that must not be lost is held with it.</param>
/// <param name="watch">Follows the key, among others.</param>
/// <param name="clock">The clock.</param>
/// <param name="log">Gets what happens.</param>
internal sealed class Membership(
    string key, string name, Func<ClusterMember> describe, TimeSpan length, EtcdClient etcd, Lease lease, KeyWatch watch,
    TimeProvider clock, ClusterLog log)
{
    private const int Tries = 3;
    // etcd looks for leases that have ended twice a second, and after its own restart each lasts a second more.
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan AskAgain = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan SayAgain = TimeSpan.FromMinutes(1);

    private readonly WakeUp _wake = new(clock);
    private volatile Registration? _registration;
    private volatile ClusterMember? _holder;
    private long? _saidAt;
    private long? _heldSince; // without a failure since: after a restart of etcd a lease lasts as long as at its beginning

    /// <summary>Whether this node has its name in the cluster. It may have lost it since, where the lease is not safe.</summary>
    public bool IsMember => lease.Id is not 0 and var id
        && (_registration?.Lease == id || watch.Current.Keys.GetValueOrDefault(key)?.Lease == id);

    /// <summary>The other node that has the name; null where none is known.</summary>
    public ClusterMember? Holder => IsMember ? null : _holder;

    /// <summary>Why the key could not be written; null where it could.</summary>
    public string? Error { get; private set; }

    /// <summary>Takes the name before the node serves. Where etcd does not answer, the node starts all the same.</summary>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <exception cref="StartException">Another node has it.</exception>
    public async Task JoinAsync(CancellationToken cancellationToken)
    {
        var begunAt = clock.GetTimestamp();
        while (true)
        {
            if (!lease.IsSafe)
            {
                await lease.RenewAsync(cancellationToken);
            }
            if (await TryRegisterAsync(cancellationToken) || _holder is not { } holder)
            {
                return;
            }
            if (Error is not null && clock.GetElapsedTime(begunAt) > length + Margin)
            {
                return; // etcd has gone meanwhile.
            }
            if (IsHeldByAnother)
            {
                throw new StartException(
                    $"cluster: the name of this node is held by {holder}; stop that one, or give this one another "
                    + "LoadBalancer:Cluster:Node",
                    new InvalidOperationException());
            }
            if (_saidAt is null)
            {
                _saidAt = begunAt;
                log.WaitsForName($"{holder}", (length + Margin).TotalSeconds);
            }
            await Task.Delay(AskAgain, clock, cancellationToken);
        }
    }

    /// <summary>Keeps the name, and takes it when it can be had, until that is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        _saidAt = null;
        while (true)
        {
            if (IsWanting)
            {
                await TryRegisterAsync(cancellationToken);
            }
            if (_holder is { } holder && IsHeldByAnother && (_saidAt is not { } saidAt || clock.GetElapsedTime(saidAt) >= SayAgain))
            {
                _saidAt = clock.GetTimestamp();
                log.NameIsTaken($"{holder}");
            }
            await _wake.WaitAsync(length / 4, cancellationToken);
        }
    }

    /// <summary>Looks at once whether the key must be written: the lease or the keys have changed.</summary>
    public void Wake() => _wake.Set();

    // Otherwise it may still be what a killed process of this node has left behind, which ends with its lease.
    private bool IsHeldByAnother => _heldSince is { } since && clock.GetElapsedTime(since) > length + Margin;

    private bool IsWanting => lease.IsSafe && (_registration is not { } known || known.Lease != lease.Id
        || known.Member != describe()
        || (watch.Current.Revision >= known.Revision && watch.Current.Keys.GetValueOrDefault(key)?.Lease != known.Lease));

    private async Task<bool> TryRegisterAsync(CancellationToken cancellationToken)
    {
        try
        {
            return lease.IsSafe && await RegisterAsync(lease.Id, cancellationToken);
        }
        catch (EtcdException e)
        {
            (Error, _heldSince) = (e.Message, null);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            Error = e.Message;
            log.Unexpected(e, "writing the key of this node");
        }
        return false;
    }

    private async Task<bool> RegisterAsync(long id, CancellationToken cancellationToken)
    {
        var member = describe();
        var value = member.ToText();
        EtcdKey? found = null;
        for (var i = 0; i < Tries; i++)
        {
            var condition = found is null ? EtcdCondition.IsAbsent(key) : EtcdCondition.IsChangedAt(key, found.Changed);
            var answer = await etcd.TransactAsync([condition], [EtcdChange.Put(key, value, id)], key, cancellationToken);
            found = answer.Succeeded ? new EtcdKey(key, value, 0, answer.Header.Revision, id) : answer.Key;
            if (found is not null && !lease.IsOwn(found.Lease))
            {
                (_registration, _holder, Error) = (null, ClusterMember.Read(name, found.Value), null);
                _heldSince ??= clock.GetTimestamp();
                return false;
            }
            if (found is not null && found.Lease == id && found.Value == value)
            {
                var isKnown = _registration?.Lease == id;
                (_registration, _holder) = (new Registration(id, found.Changed, member), null);
                (_saidAt, _heldSince, Error) = (null, null, null);
                if (!isKnown)
                {
                    log.Joined(name);
                }
                return true;
            }
        }
        Error = "the key of this node changes all the time";
        return false;
    }

    private sealed record Registration(long Lease, long Revision, ClusterMember Member);
}
