using System.Collections.Immutable;

namespace LoadBalancer.Cluster;

/// <summary>
/// Follows the keys below a prefix: reads all of them, then gets each change; reads anew where changes are lost, etcd has lost some, or the
/// watch is deaf. One after the other, so a handler is never called twice at once.
/// </summary>
/// <param name="etcd">etcd.</param>
/// <param name="prefix">What the names begin with; ASCII.</param>
/// <param name="interval">How often to make sure that a silent watch is not deaf.</param>
/// <param name="clock">The clock.</param>
/// <param name="log">Gets what goes wrong.</param>
internal sealed class KeyWatch(EtcdClient etcd, string prefix, TimeSpan interval, TimeProvider clock, ClusterLog log)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(1); // for changes that are on their way

    private readonly TaskCompletionSource _loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile KeySnapshot _current = KeySnapshot.Empty;
    private long _heardAt;
    private TimeSpan _pause = FirstPause; // before the keys are read anew

    /// <summary>Called after each change, and whenever all keys were read.</summary>
    public event Action<KeyChange>? Changed;

    /// <summary>The keys as they are known; they stay when etcd is gone.</summary>
    public KeySnapshot Current => _current;

    /// <summary>Completes when the keys were read for the first time.</summary>
    public Task Loaded => _loaded.Task;

    /// <summary>Why there is no watch; null where there is one, or none was tried.</summary>
    public string? Error { get; private set; }

    /// <summary>Whether <see cref="Current"/> is what etcd has, as far as can be known.</summary>
    public bool IsLive => Loaded.IsCompleted && clock.GetElapsedTime(Interlocked.Read(ref _heardAt)) < (interval * 2) + Grace;

    /// <summary>Follows them until that is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                await FollowAsync(cancellationToken);
            }
            catch (EtcdException e)
            {
                Fail(e.Message);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                log.Unexpected(e, "watching keys");
            }
            var pause = _pause < interval / 4 ? _pause : interval / 4;
            _pause = pause * 2; // until there is a watch again
            await Task.Delay(pause, clock, cancellationToken);
        }
    }

    private async Task FollowAsync(CancellationToken cancellationToken)
    {
        var range = await etcd.ListAsync(prefix, cancellationToken);
        var endpoint = etcd.Endpoint;
        var keys = range.Keys.Select(key => KeyValuePair.Create(key.Key, key)).ToImmutableSortedDictionary(StringComparer.Ordinal);
        var isRestored = _current.IsBehind(range.Header);
        if (isRestored)
        {
            log.Restored(_current.Revision, range.Header.Revision);
        }
        Publish(new KeySnapshot(range.Header.ClusterId, range.Header.Revision, keys), isRestored, isRead: true);

        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var checking = CheckAsync(endpoint, stop.Token);
        var watching = WatchAsync(stop.Token);
        var first = await Task.WhenAny(checking, watching);
        await stop.CancelAsync();
        await Task.WhenAll(checking, watching).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await first;
    }

    private async Task WatchAsync(CancellationToken cancellationToken)
    {
        await foreach (var line in etcd.WatchAsync(prefix, _current.Revision + 1, cancellationToken))
        {
            if (line.End is { } end)
            {
                Fail($"the watch is over: {end}");
                return;
            }
            if (line.Header.Revision > 0 && _current.IsBehind(line.Header))
            {
                return; // Reading all keys tells whether it is that, or a member of etcd that is late.
            }
            Hear();
            _pause = FirstPause;
            var news = line.Events.Where(change => change.Key.Changed > _current.Revision).ToList();
            if (news.Count > 0)
            {
                var keys = _current.Keys.ToBuilder();
                foreach (var (key, isDeleted) in news)
                {
                    if (isDeleted)
                    {
                        keys.Remove(key.Key);
                    }
                    else
                    {
                        keys[key.Key] = key;
                    }
                }
                Publish(_current with { Revision = news.Max(change => change.Key.Changed), Keys = keys.ToImmutable() });
            }
        }
        Fail($"the watch at {etcd.Endpoint.Authority} has ended");
    }

    // A connection may be dead without a sign, and a member of etcd may be cut off from the others. Ends where the keys must be read anew.
    private async Task CheckAsync(Uri endpoint, CancellationToken cancellationToken)
    {
        while (true)
        {
            await Task.Delay(interval, clock, cancellationToken);
            var known = _current; // Later changes may be told before the answer comes.
            EtcdCount count;
            try
            {
                count = await etcd.CountAsync(prefix, cancellationToken);
            }
            catch (EtcdException e)
            {
                Fail(e.Message);
                if (etcd.Endpoint != endpoint)
                {
                    return; // The watch is probably as dead as the call.
                }
                continue;
            }
            if (known.IsBehind(count.Header) || etcd.Endpoint != endpoint)
            {
                return;
            }
            if (!Has(count))
            {
                await Task.Delay(Grace, clock, cancellationToken);
                if (!Has(count))
                {
                    log.WatchIsDeaf(endpoint.Authority);
                    etcd.Leave(endpoint); // It would be deaf again.
                    Fail($"the watch at {endpoint.Authority} is deaf");
                    return;
                }
            }
            Hear();
        }
    }

    // What came after the count makes no difference to the first condition; to the second only until the next check.
    private bool Has(EtcdCount count) =>
        _current.Revision >= count.Header.Revision || (_current.Revision >= count.Newest && _current.Keys.Count == count.Count);

    private void Publish(KeySnapshot now, bool isRestored = false, bool isRead = false)
    {
        var change = new KeyChange(_current, now, isRestored, isRead);
        _current = now;
        Hear();
        foreach (var handler in Delegate.EnumerateInvocationList(Changed))
        {
            try
            {
                handler(change);
            }
            catch (Exception e)
            {
                log.Unexpected(e, "applying changed keys"); // The others get it all the same: it does not come again.
            }
        }
        _loaded.TrySetResult();
    }

    private void Hear()
    {
        Interlocked.Exchange(ref _heardAt, clock.GetTimestamp());
        Error = null;
    }

    private void Fail(string reason) => Error = reason;
}
