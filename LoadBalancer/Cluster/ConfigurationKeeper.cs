using System.Collections.Immutable;
using System.Globalization;

namespace LoadBalancer.Cluster;

/// <summary>
/// Keeps the configuration that the cluster shares: <c>config</c> has what is known of the one that was pushed last,
/// <c>config/history/N</c> each that is remembered, with its text. One that is pushed is written to etcd first, and taken up when the watch
/// tells it, at the node that was asked as well. Where etcd has lost the last one it is written again.
/// </summary>
internal sealed partial class ConfigurationKeeper : IDisposable
{
    private const string LastName = "config";
    private const string HistoryFolder = "config/history/";

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1); // between two tries

    private readonly EtcdClient _etcd;
    private readonly string _prefix; // of all keys of the cluster, with the slash
    private readonly string _node;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly WakeUp _wake;
    private readonly CancellationTokenSource _stopped = new(); // needs no Dispose: it has no timer
    private readonly ToldRevisions _told = new();
    private ImmutableSortedDictionary<string, EtcdKey> _keys = KeySnapshot.Empty.Keys;
    private PushedConfiguration? _known;
    private PushedConfiguration? _there; // in etcd; null where it is not, or cannot be read
    private long _changed; // in etcd; 0: it is not there
    private bool _isRead; // what is in etcd is known
    private bool _isLossLogged;
    private Task _running = Task.CompletedTask;

    /// <summary>Makes it; it works from <see cref="Start"/> on.</summary>
    /// <param name="etcd">Asks etcd.</param>
    /// <param name="cluster">The name of the cluster.</param>
    /// <param name="node">The name of this node.</param>
    /// <param name="known">The one that the node knows from before; null for none.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets what goes wrong.</param>
    public ConfigurationKeeper(
        EtcdClient etcd, string cluster, string node, PushedConfiguration? known, TimeProvider time, ILogger logger)
    {
        (_etcd, _prefix, _node, _known, _time, _logger) = (etcd, ClusterNode.PrefixOf(cluster), node, known, time, logger);
        _wake = new WakeUp(time);
    }

    /// <summary>Why nothing can be written now; null: it can be.</summary>
    public Func<string?> WhyNot { get; init; } = () => null;

    /// <summary>Uses one that was pushed; called one at a time, and returns at once.</summary>
    public Action<PushedConfiguration> Use { get; init; } = _ => { };

    /// <summary>The one that was pushed last; null where none was.</summary>
    public PushedConfiguration? Known
    {
        get
        {
            lock (_gate)
            {
                return _known;
            }
        }
    }

    /// <summary>Those that are remembered, the newest first.</summary>
    public IReadOnlyList<PushedMark> History
    {
        get
        {
            lock (_gate)
            {
                var marks = HistoryNeedsLock().Select(entry => PushedConfiguration.TryReadMark(entry.Key.Value)).OfType<PushedMark>();
                return
                [
                    .. (_known is null ? marks : marks.Append(_known.Mark)).DistinctBy(mark => mark.Number)
                        .OrderByDescending(mark => mark.Number),
                ];
            }
        }
    }

    /// <summary>One that is remembered; null where it is not.</summary>
    public PushedConfiguration? Find(long number)
    {
        lock (_gate)
        {
            return _known?.Mark.Number == number ? _known
                : _keys.TryGetValue(HistoryKey(number), out var key) ? PushedConfiguration.TryRead(key.Value) : null;
        }
    }

    /// <summary>Begins.</summary>
    public void Start() => _running = RunAsync();

    /// <summary>Takes up what the watch has learned.</summary>
    public void TakeUp(KeyChange change)
    {
        PushedConfiguration? later = null;
        lock (_gate)
        {
            (_keys, _isRead) = (change.Now.Keys, true);
            var key = _keys.GetValueOrDefault(_prefix + LastName);
            if (key is null || key.Changed != _changed || _there is null || change.IsRead)
            {
                (_changed, _there) = (key?.Changed ?? 0, key is null ? null : ReadNeedsLock(key));
            }
            if (_there is { } there && there.Mark.IsLaterThan(_known?.Mark))
            {
                _known = later = there;
            }
        }
        if (later is not null)
        {
            Use(later); // Before those go on that wait for it.
        }
        _told.Tell(change.Now.Revision);
        _wake.Set();
    }

    /// <summary>Writes nothing any more. It may be called again.</summary>
    public async Task StopAsync()
    {
        await _stopped.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <inheritdoc/>
    public void Dispose() => _stopped.Cancel();

    // A key with what is known, and a key with the text, are written together.
    private PushedConfiguration? ReadNeedsLock(EtcdKey key)
    {
        if (PushedConfiguration.TryReadMark(key.Value) is { } mark && _keys.TryGetValue(HistoryKey(mark.Number), out var entry)
            && PushedConfiguration.TryRead(entry.Value) is { } pushed && pushed.Mark == mark)
        {
            return pushed;
        }
        if (key.Changed != _changed)
        {
            LogUnreadable(key.Key, _prefix + HistoryFolder);
        }
        return null;
    }

    private string HistoryKey(long number) => $"{_prefix}{HistoryFolder}{EtcdText.Number(number)}";

    private IEnumerable<(long Number, EtcdKey Key)> HistoryNeedsLock()
    {
        foreach (var (name, key) in _keys.Where(entry => entry.Key.StartsWith(_prefix + HistoryFolder, StringComparison.Ordinal)))
        {
            var end = name.AsSpan(_prefix.Length + HistoryFolder.Length);
            if (long.TryParse(end, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && HistoryKey(number) == name)
            {
                yield return (number, key);
            }
        }
    }

    private async Task RunAsync()
    {
        while (!_stopped.IsCancellationRequested)
        {
            try
            {
                await _wake.WaitAsync(Pause * 10, _stopped.Token);
                while (!await TryWriteBackAsync())
                {
                    await Task.Delay(Pause, _time, _stopped.Token);
                }
            }
            catch (Exception e) when (!_stopped.IsCancellationRequested)
            {
                LogUnexpected(e); // The loop goes on.
            }
        }
    }

    // Writes the one that etcd has lost. False: there was trouble, or the node is cut off.
    private async Task<bool> TryWriteBackAsync()
    {
        PushedConfiguration? ours;
        long changed;
        lock (_gate)
        {
            ours = _isRead && _known is { } known && known.Mark.IsLaterThan(_there?.Mark) ? known : null;
            changed = _changed;
        }
        if (ours is null)
        {
            _isLossLogged = false;
            return true;
        }
        if (WhyNot() is not null)
        {
            return false;
        }
        if (!_isLossLogged)
        {
            _isLossLogged = true; // once, however often it is tried
            LogLost($"{ours}");
        }
        try
        {
            await _etcd.TransactAsync(
                [EtcdCondition.IsChangedAt(_prefix + LastName, changed)], PutsOf(ours, ours.ToText()), null, _stopped.Token);
            return true; // Where it did not succeed the watch tells what is there instead, and this is looked at again.
        }
        catch (EtcdException)
        {
            return false;
        }
    }

    private IEnumerable<EtcdChange> PutsOf(PushedConfiguration pushed, string text) =>
    [
        EtcdChange.Put(_prefix + LastName, pushed.Mark.ToText()), EtcdChange.Put(HistoryKey(pushed.Mark.Number), text),
    ];

    [LoggerMessage(271, LogLevel.Warning,
        "cluster: etcd does not have {Pushed}, which this node knows, because it came back empty or from a backup; it is written again")]
    private partial void LogLost(string pushed);

    [LoggerMessage(272, LogLevel.Warning,
        "cluster: the value of {Key} in etcd, or of the key below {Folder} that it names, cannot be read, and is not used; push the "
        + "configuration again")]
    private partial void LogUnreadable(string key, string folder);

    [LoggerMessage(273, LogLevel.Error, "cluster: unexpected error while keeping the shared configuration; please report it")]
    private partial void LogUnexpected(Exception exception);
}
