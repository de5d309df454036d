using System.Collections.Immutable;
using System.Threading.Channels;

namespace LoadBalancer.Cluster;

/// <summary>
/// Keeps what operators have set at whichever node. A change is written to etcd first, and taken up when the watch tells it, at the node
/// that was asked as well: there is one way in. What etcd has lost, because it came back empty or from a backup, is written again.
/// </summary>
internal sealed partial class SharedKeeper : IDisposable
{
    /// <summary>How long a change may take to be taken up here.</summary>
    public static readonly TimeSpan LongestChange = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1); // between two tries

    private readonly EtcdClient _etcd;
    private readonly SharedPart[] _parts = Enum.GetValues<SharedPart>();
    private readonly string _prefix; // of all keys of the cluster, with the slash
    private readonly string _node;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly Dictionary<string, (long Changed, SharedBackend? Value)> _inEtcd = []; // by key without prefix
    private readonly ToldRevisions _told = new();
    private readonly Channel<bool> _work = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly CancellationTokenSource _stopped = new(); // needs no Dispose: it has no timer
    private readonly StateFile _file;
    private SharedState _state;
    private long _revision;
    private bool _isRead; // what is in etcd is known
    private bool _isSaved = true;
    private bool _isSavingLogged;
    private Task _running = Task.CompletedTask;

    /// <summary>Makes it; it works from <see cref="Start"/> on.</summary>
    /// <param name="etcd">Asks etcd.</param>
    /// <param name="cluster">The name of the cluster.</param>
    /// <param name="node">The name of this node.</param>
    /// <param name="known">What the node begins with.</param>
    /// <param name="file">Where that is kept.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets a line for each change.</param>
    public SharedKeeper(EtcdClient etcd, string cluster, string node, StateCopy known, StateFile file, TimeProvider time, ILogger logger)
    {
        (_etcd, _prefix, _node, _file, _time, _logger) = (etcd, ClusterNode.PrefixOf(cluster), node, file, time, logger);
        (_state, _revision, _sticky) = (known.State, known.Revision, known.StickyKey);
    }

    /// <summary>Why nothing can be written now; null: it can be.</summary>
    public Func<string?> WhyNot { get; init; } = () => null;

    /// <summary>Takes up what operators have set; called one at a time.</summary>
    public Action<SharedState> Share { get; init; } = _ => { };

    /// <summary>How the node has judged that against its own file.</summary>
    public Func<ImmutableDictionary<BackendKey, JudgedBackend>> Judged { get; init; } = () => StateCopy.Empty.Judged;

    /// <summary>The configuration that the cluster shares, for the copy on disk; null for none.</summary>
    public Func<PushedCopy?> Configuration { get; init; } = () => null;

    /// <summary>What operators have set.</summary>
    public SharedState State
    {
        get
        {
            lock (_gate)
            {
                return _state;
            }
        }
    }

    /// <summary>What the node knows, for the copy on disk and for the process that replaces this one.</summary>
    public StateCopy Copy()
    {
        var (judged, configuration) = (Judged(), Configuration());
        lock (_gate)
        {
            return new StateCopy(_state, judged, _revision, _sticky) { Configuration = configuration };
        }
    }

    /// <summary>Begins.</summary>
    public void Start() => _running = RunAsync();

    /// <summary>
    /// Takes up what the watch has learned. A key that is deleted while this node watches is gone; one that is missing where all keys were
    /// read anew is lost, and is written again.
    /// </summary>
    public void TakeUp(KeyChange change)
    {
        SharedState stateBefore, state;
        StickyKeyOfCluster? stickyBefore, sticky;
        var lines = new List<(BackendKey Key, string What, string Node)>();
        lock (_gate)
        {
            (stateBefore, stickyBefore) = (_state, _sticky);
            var known = change.IsRead ? KeySnapshot.Empty.Keys : change.Before.Keys;
            if (change.IsRead)
            {
                _inEtcd.Clear();
                _stickyChanged = 0;
            }
            foreach (var gone in known.Where(entry => !change.Now.Keys.ContainsKey(entry.Key)))
            {
                lines.AddRange(DeletedNeedsLock(gone.Key) is { } line ? [line] : []);
            }
            foreach (var (name, key) in change.Now.Keys.Where(entry => known.GetValueOrDefault(entry.Key)?.Changed != entry.Value.Changed))
            {
                lines.AddRange(PutNeedsLock(name, key) is { } line ? [line] : []);
            }
            (_isRead, state, sticky) = (true, _state, _sticky);
        }
        if (change.IsRead && lines.Count > 0)
        {
            LogRead(lines.Count, change.Now.Revision);
        }
        else if (!change.IsRead)
        {
            lines.ForEach(line => LogChanged(line.Key.Pool, line.Key.Backend, line.What, line.Node));
        }
        try
        {
            if (sticky is not null && sticky != stickyBefore)
            {
                UseStickyKey(sticky);
            }
            if (state != stateBefore)
            {
                Share(state);
            }
        }
        finally
        {
            Finish(change.Now.Revision, isChanged: state != stateBefore || sticky != stickyBefore);
        }
    }

    /// <summary>The node's own file has changed, and so perhaps what holds at this node.</summary>
    public void Save()
    {
        lock (_gate)
        {
            _isSaved = false;
        }
        _work.Writer.TryWrite(true);
    }

    /// <summary>Writes the copy on disk for the last time. It may be called again.</summary>
    public async Task StopAsync()
    {
        _work.Writer.TryComplete();
        await _stopped.CancelAsync();
        await _running;
        TrySave();
        lock (_gate)
        {
            _isSaved = true; // Another process may write the file from now on.
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _work.Writer.TryComplete();
        _stopped.Cancel();
    }

    // Only now: who waits for a change asks the pools next.
    private void Finish(long revision, bool isChanged)
    {
        lock (_gate)
        {
            (_revision, _isSaved) = (revision, _isSaved && !isChanged);
        }
        _told.Tell(revision);
        _work.Writer.TryWrite(true);
    }

    private (BackendKey Key, string What, string Node)? PutNeedsLock(string name, EtcdKey key)
    {
        name = name[_prefix.Length..];
        if (name == StickyName)
        {
            var sticky = ReadSticky(key.Value);
            (_sticky, _stickyChanged) = (sticky ?? _sticky, key.Changed);
            if (sticky is null)
            {
                LogNoStickyKey(key.Key);
            }
        }
        if (!SharedText.TryReadKey(name, out var backend, out var part))
        {
            return null;
        }
        if (!SharedText.TryRead(key.Value, part, out var value))
        {
            _inEtcd[name] = (key.Changed, null);
            LogUnreadable(key.Key);
            return null;
        }
        _inEtcd[name] = (key.Changed, value);
        var before = _state;
        _state = _state.Merge(backend, value);
        return _state == before ? null : (backend, $"{value}", value.Node);
    }

    private (BackendKey Key, string What, string Node)? DeletedNeedsLock(string name)
    {
        name = name[_prefix.Length..];
        _stickyChanged = name == StickyName ? 0 : _stickyChanged;
        if (!SharedText.TryReadKey(name, out var backend, out var part))
        {
            return null;
        }
        _inEtcd.Remove(name);
        var before = _state;
        _state = _state.Without(backend, part);
        return _state == before ? null : (backend, "as in the file, because its key was deleted", "?");
    }

    private async Task RunAsync()
    {
        await foreach (var _ in _work.Reader.ReadAllAsync())
        {
            try
            {
                TrySave();
                while (!_stopped.IsCancellationRequested && !await TryWriteBackAsync())
                {
                    await Task.Delay(Pause, _time, _stopped.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    TrySave();
                }
            }
            catch (Exception e) when (!_stopped.IsCancellationRequested)
            {
                LogUnexpected(e); // The loop goes on: without it nothing would be saved any more.
            }
        }
    }

    private void TrySave()
    {
        lock (_gate)
        {
            if (_isSaved)
            {
                return;
            }
            _isSaved = true;
        }
        try
        {
            _file.Write(Copy());
            _isSavingLogged = false;
        }
        catch (IOException e)
        {
            if (!_isSavingLogged)
            {
                _isSavingLogged = true;
                LogNotSaved(e.Message);
            }
            lock (_gate)
            {
                _isSaved = false; // with the next change
            }
        }
    }

    [LoggerMessage(255, LogLevel.Information, "pool '{Pool}': backend '{Backend}' was changed by an operator at node '{Node}': {What}")]
    private partial void LogChanged(string pool, string backend, string what, string node);

    [LoggerMessage(256, LogLevel.Information,
        "cluster: read what operators have set, at revision {Revision} of etcd; {Count} settings are new to this node")]
    private partial void LogRead(int count, long revision);

    [LoggerMessage(257, LogLevel.Warning,
        "cluster: the value of {Key} in etcd cannot be read, and is not used; set that backend anew through the management API")]
    private partial void LogUnreadable(string key);

    [LoggerMessage(258, LogLevel.Warning,
        "cluster: the copy on disk of what operators have set cannot be written ({Reason}); a start without etcd would not know it. "
        + "Name a directory in Cluster:StateDirectory")]
    private partial void LogNotSaved(string reason);

    [LoggerMessage(259, LogLevel.Error, "cluster: unexpected error while keeping what operators have set; please report it")]
    private partial void LogUnexpected(Exception exception);
}
