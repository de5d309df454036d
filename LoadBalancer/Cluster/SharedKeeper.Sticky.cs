using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Cluster;

/// <summary>The one key of sticky sessions: the first node writes it, and a <c>KeyFile</c> wins over one that a node has made.</summary>
internal sealed partial class SharedKeeper
{
    private const string StickyName = "sticky-key";

    private StickyKeyOfCluster? _sticky;
    private long _stickyChanged; // in etcd; 0: it is not there
    private bool _isFileKeyWritten;
    private string? _warnedOf; // the key that the error line was about

    /// <summary>The key of this node, for sticky sessions without a <c>KeyFile</c>; null where no pool has sticky sessions.</summary>
    public Func<StickyKeyOfCluster?> OwnStickyKey { get; init; } = () => null;

    /// <summary>The keys in the <c>KeyFile</c>s of this node's pools.</summary>
    public Func<IReadOnlyList<StickyKeyOfCluster>> FileKeys { get; init; } = () => [];

    /// <summary>Uses the cluster's key where there is no <c>KeyFile</c>.</summary>
    public Action<StickyKeyOfCluster> UseStickyKey { get; init; } = _ => { };

    private async Task ShareStickyKeyAsync()
    {
        StickyKeyOfCluster? there;
        long changed;
        lock (_gate)
        {
            (there, changed) = (_sticky, _stickyChanged);
        }
        var ofFiles = FileKeys();
        foreach (var other in ofFiles.Where(own => own.Pool == there?.Pool && own.Key != there?.Key && there?.Key != _warnedOf))
        {
            _warnedOf = there!.Key;
            LogOtherKey(other.Pool!);
        }
        var wanted = changed == 0 ? (ofFiles.Count > 0 ? ofFiles[0] : there ?? OwnStickyKey())
            : _isFileKeyWritten || ofFiles.Any(own => own.Key == there?.Key) ? null
            : ofFiles.FirstOrDefault(own => there?.Pool is null || own.Pool == there.Pool);
        if (wanted is null)
        {
            return;
        }
        var answer = await _etcd.TransactAsync(
            [EtcdCondition.IsChangedAt(_prefix + StickyName, changed)],
            [EtcdChange.Put(_prefix + StickyName, JsonText.Of(wanted.ToJson()))], null, _stopped.Token);
        _isFileKeyWritten |= answer.Succeeded && wanted.Pool is not null; // Where another node was first, the watch tells its key.
    }

    private static StickyKeyOfCluster? ReadSticky(string text)
    {
        try
        {
            return StickyKeyOfCluster.Read(JsonNode.Parse(text));
        }
        catch (Exception e) when (e is JsonException or ArgumentException)
        {
            return null;
        }
    }

    [LoggerMessage(261, LogLevel.Error,
        "pool '{Pool}': the key in its StickySession:KeyFile is not that of another node of the cluster: clients that come to the other "
        + "node lose their backend; put the same file on all nodes and restart them")]
    private partial void LogOtherKey(string pool);

    [LoggerMessage(266, LogLevel.Warning,
        "cluster: the value of {Key} in etcd is no key of sticky sessions, and is not used; delete it with etcdctl, and a node writes "
        + "another one")]
    private partial void LogNoStickyKey(string key);
}
