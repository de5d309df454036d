using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Files;
using LoadBalancer.Http.Forwarding;

namespace LoadBalancer.Composition;

/// <summary>The part that takes up what operators of the cluster have set.</summary>
internal sealed partial class NodePool
{
    /// <summary>The key in the file of its sticky sessions; null where it has none.</summary>
    public StickyKeyOfCluster? FileKey =>
        _state.Options.StickySession?.KeyFile is not null && _state.StickyKey is { } secret
            ? new StickyKeyOfCluster(Convert.ToBase64String(secret.Key), _name) : null;

    /// <summary>Whether its file, or what that leads to, names a backend.</summary>
    public bool IsNamed(string backend) =>
        _sources.WithMembers(_state.Options, _state.List).Backends.Keys.Contains(backend, StringComparer.OrdinalIgnoreCase);

    /// <summary>Takes up what operators of the cluster have set since, if there is room.</summary>
    public void TakeUpShared()
    {
        var (before, now) = (_members, Members(_state.Options, _state.List));
        var change = MemberChange.Of(before.Backends, now.Backends);
        var gone = change.Left.Except(change.Joined).ToHashSet();
        var leaving = Pool.Snapshot.Members.Where(member => gone.Contains(member.Name)).ToList();
        try
        {
            Pool.RequireSlots(change.Joined.Count);
        }
        catch (InvalidOperationException e)
        {
            LogTooMany(Pool.Name, $"{change}", e.Message);
            return;
        }
        _members = Judge(_state.Options, _state.List);
        if (change.IsNone)
        {
            return;
        }
        // Those that are deleted finish first what they have.
        var stayed = before with { Backends = before.Backends.Where(entry => !gone.Contains(entry.Key)).ToDictionary() };
        Pool.Update(update => update.Members = _backends.Share(update.Members, _leaving, stayed, now, change));
        _leaving.RemoveWhere(backend => now.Backends.ContainsKey(backend.Name));
        leaving.ForEach(Delete);
        _sources.Keep(_state.Options, _state.List, Pool.Snapshot.Members);
    }

    // What there is to be: what file, list and names lead to, and what operators of the cluster have set.
    private PoolOptions Members(PoolOptions options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? list)
    {
        var found = _sources.WithMembers(options, list);
        return _parts.Shared?.Members(_name, found) ?? found;
    }

    private PoolOptions Judge(PoolOptions options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? list)
    {
        var found = _sources.WithMembers(options, list);
        return _parts.Shared?.Judge(_name, found) ?? found;
    }

    // The present one, unless its options have changed. Without a file of its own it is that of the cluster.
    private StickySecret? StickyKeyFor(PoolOptions options, PoolState? before)
    {
        byte[] Load() => StickyKey.Load(
            _name, options.StickySession!.KeyFile, _handed?.StickyKey, _parts.Loggers.CreateLogger<HttpForwarder>());
        return options.StickySession is not { } sticky ? null
            : before is { StickyKey: { } key } && before.Options.StickySession == sticky ? key
            : sticky.KeyFile is null && _parts.Shared is { } shared ? shared.StickySecret(Load)
            : new StickySecret(Load());
    }
}
