namespace LoadBalancer.Cluster;

/// <summary>What it writes to etcd.</summary>
internal sealed partial class SharedKeeper
{
    // How long etcd remembers that something was deleted or cleared. A node that was away for longer may bring it back.
    private static readonly TimeSpan Memory = TimeSpan.FromDays(30);

    private bool _isLossLogged;

    /// <summary>Changes a backend at all nodes. Returns when this node has taken the change up.</summary>
    /// <returns>Why it was not done, or why that is not known; null where it was.</returns>
    public async Task<string?> ChangeAsync(BackendKey key, OperatorChange change)
    {
        if ((WhyNot() ?? WhyNotYet()) is { } reason)
        {
            return $"{reason}; nothing was changed, at no node";
        }
        using var late = new CancellationTokenSource(LongestChange, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _stopped.Token);
        var name = SharedText.Key(key, change.Part);
        SharedBackend known;
        long changed;
        lock (_gate)
        {
            (known, changed) = (_state.Find(key), _inEtcd.GetValueOrDefault(name).Changed);
        }
        var mayBeDone = new List<string>(); // what was sent without an answer
        SharedBackend? tried = null; // the last of that
        var trouble = "etcd has not answered";
        try
        {
            while (true)
            {
                var next = known.With(change, _time.GetUtcNow(), _node).Part(change.Part);
                var text = SharedText.Value(next, change.Part);
                try
                {
                    var answer = await _etcd.TransactAsync(
                        [EtcdCondition.IsChangedAt(_prefix + name, changed)], [EtcdChange.Put(_prefix + name, text)], _prefix + name,
                        either.Token);
                    if (answer.Succeeded || (answer.Key is { } there && mayBeDone.Contains(there.Value)))
                    {
                        trouble = "etcd has it, but this node's watch has not told it";
                        await _told.WaitAsync(answer.Succeeded ? answer.Header.Revision : answer.Key!.Changed).WaitAsync(either.Token);
                        return null;
                    }
                    // Another node was first: the change is made on top of that.
                    changed = answer.Key?.Changed ?? 0;
                    if (answer.Key is { } other && SharedText.TryRead(other.Value, change.Part, out var read))
                    {
                        if (tried is not null && IsSetLater(tried, read, change))
                        {
                            return $"etcd has not said whether the change was made ({trouble}), and the same was set at node "
                                + $"'{read.Node}' since; look at what holds now";
                        }
                        known = known.Merge(read);
                    }
                }
                catch (EtcdException e)
                {
                    trouble = e.Message;
                    if (e.MayHaveHappened)
                    {
                        mayBeDone.Add(text);
                        tried = next;
                    }
                    await Task.Delay(Pause / 10, _time, either.Token);
                }
            }
        }
        catch (OperationCanceledException)
        {
            return $"the change was not taken up within {LongestChange.TotalSeconds} s ({trouble}): it may hold, or not; "
                + "all nodes end alike, look again later";
        }
    }

    // To write the change again would undo what was set on top of it.
    private static bool IsSetLater(SharedBackend tried, SharedBackend there, OperatorChange change) =>
        tried.Merge(there) is var both && (change is OperatorChange.Patch patch
            ? (patch.SetsAdminState && both.AdminState != tried.AdminState) || (patch.SetsWeight && both.Weight != tried.Weight)
            : both.Added != tried.Added);

    private string? WhyNotYet()
    {
        lock (_gate)
        {
            return _isRead ? null : "this node does not know yet what is in etcd";
        }
    }

    // Writes what etcd does not have, and deletes what need not be remembered any more. False: there was trouble, or the node is cut off;
    // it is tried again, because the keys may tell nothing new when the trouble is over.
    private async Task<bool> TryWriteBackAsync()
    {
        List<(BackendKey Key, SharedPart Part)> lost;
        List<(string Name, long Changed)> spent;
        if (WhyNotYet() is not null)
        {
            return true; // Reading the keys calls this again.
        }
        if (WhyNot() is not null)
        {
            return false;
        }
        lock (_gate)
        {
            spent = ForgetNeedsLock();
            lost = [.. LostNeedsLock()];
        }
        if (lost.Count > 0 && !_isLossLogged)
        {
            LogLost(lost.Count);
        }
        _isLossLogged = lost.Count > 0; // once, however often it is tried
        try
        {
            foreach (var (key, part) in lost)
            {
                var name = SharedText.Key(key, part);
                SharedBackend ours;
                long changed;
                lock (_gate)
                {
                    ours = _state.Find(key).Part(part);
                    if (ours == SharedBackend.None || ours == _inEtcd.GetValueOrDefault(name).Value)
                    {
                        continue; // Another node has been faster.
                    }
                    changed = _inEtcd.GetValueOrDefault(name).Changed;
                }
                await _etcd.TransactAsync(
                    [EtcdCondition.IsChangedAt(_prefix + name, changed)], [EtcdChange.Put(_prefix + name, SharedText.Value(ours, part))],
                    null, _stopped.Token);
                // Where it did not succeed the watch tells what is there instead, and this is looked at again.
            }
            foreach (var (name, changed) in spent)
            {
                await _etcd.TransactAsync(
                    [EtcdCondition.IsChangedAt(_prefix + name, changed)], [EtcdChange.Delete(_prefix + name)], null, _stopped.Token);
            }
            await ShareStickyKeyAsync();
            return true;
        }
        catch (EtcdException)
        {
            return false;
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    // Returns what of it is still in etcd.
    private List<(string Name, long Changed)> ForgetNeedsLock()
    {
        var before = _time.GetUtcNow() - Memory;
        var inEtcd = new List<(string, long)>();
        foreach (var (key, backend) in _state.All)
        {
            foreach (var part in _parts.Where(part => IsSpent(backend, part, before)))
            {
                _state = _state.Without(key, part);
                if (_inEtcd.TryGetValue(SharedText.Key(key, part), out var there))
                {
                    inEtcd.Add((SharedText.Key(key, part), there.Changed));
                }
            }
        }
        return inEtcd;
    }

    // What was set for a backend goes with the memory of that it was deleted later.
    private static bool IsSpent(SharedBackend backend, SharedPart part, DateTimeOffset before) =>
        backend.Part(part).IsNothingSince(before)
        || (part == SharedPart.Admin && backend.Part(part) is var set && set != SharedBackend.None
            && backend.Added is { Value: null, Time: var deleted } && deleted < before && set.Time < deleted);

    private IEnumerable<(BackendKey Key, SharedPart Part)> LostNeedsLock() =>
        from entry in _state.All
        from part in _parts
        let ours = entry.Backend.Part(part)
        where ours != SharedBackend.None && ours != _inEtcd.GetValueOrDefault(SharedText.Key(entry.Key, part)).Value
        select (entry.Key, part);

    [LoggerMessage(260, LogLevel.Warning,
        "cluster: etcd does not have {Count} settings of operators that this node knows, because it came back empty or from a backup; "
        + "they are written again")]
    private partial void LogLost(int count);
}
