using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Support;

/// <summary>What of a node shares operators' changes: a watch and a keeper.</summary>
internal sealed class SharingNode : IAsyncDisposable
{
    private readonly EtcdConnection _connection;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _watching;

    private SharingNode(
        string etcd, string cluster, string name, StateFile file, StateCopy known, StickyKeyOfCluster? stickyKey, bool isOfFile)
    {
        var options = new ClusterOptions { Name = cluster, Node = name, Etcd = [etcd], LeaseTime = TimeSpan.FromSeconds(2) };
        _connection = new EtcdConnection(options, TimeProvider.System);
        Etcd = new EtcdClient(_connection);
        Watch = new KeyWatch(Etcd, $"/lb/{cluster}/", TimeSpan.FromSeconds(1), TimeProvider.System, new ClusterLog(cluster, Log));
        Keeper = new SharedKeeper(Etcd, cluster, name, known, file, TimeProvider.System, Log)
        {
            WhyNot = () => Watch.IsLive ? null : "etcd is away",
            OwnStickyKey = () => StickyKey ?? stickyKey,
            FileKeys = () => isOfFile ? [stickyKey!] : [],
            UseStickyKey = key => StickyKey = key,
        };
        Watch.Changed += Keeper.TakeUp;
        Keeper.Start();
        _watching = Watch.RunAsync(_stop.Token);
    }

    public EtcdClient Etcd { get; }

    public KeyWatch Watch { get; }

    public SharedKeeper Keeper { get; }

    public LogRecorder Log { get; } = new();

    /// <summary>The key of the cluster that it uses.</summary>
    public StickyKeyOfCluster? StickyKey { get; private set; }

    /// <summary>What it knows, as text.</summary>
    public string Text => (StateCopy.Empty with { State = Keeper.State }).ToJson().ToJsonString();

    /// <summary>Starts one, with what its copy on disk says.</summary>
    public static SharingNode Start(
        string etcd, string cluster, string name, string directory, StickyKeyOfCluster? stickyKey = null, bool isOfFile = false)
    {
        var file = new StateFile(directory, cluster, name);
        return new SharingNode(etcd, cluster, name, file, file.Read() ?? StateCopy.Empty, stickyKey, isOfFile);
    }

    /// <summary>Waits until it follows etcd.</summary>
    public Task LiveAsync() => Eventually.BeTrueAsync(() => Watch.IsLive && Watch.Error is null, "the node follows etcd");

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await Keeper.StopAsync();
        Keeper.Dispose();
        _connection.Dispose();
        _stop.Dispose();
    }
}
