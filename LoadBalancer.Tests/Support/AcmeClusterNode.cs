using LoadBalancer.Acme;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Support;

/// <summary>What of a node gets certificates together with others: a watch, a keeper, a store and a time of day of its own.</summary>
internal sealed class AcmeClusterNode : IAsyncDisposable
{
    private readonly EtcdConnection _connection;
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _watching;
    private readonly AcmeKeeper _keeper;
    private bool _isGone;

    private AcmeClusterNode(string etcd, string name, AcmeOptions options, string secretFile)
    {
        Options = options;
        var cluster = new ClusterOptions
        {
            Name = "edge",
            Node = name,
            Etcd = [etcd],
            LeaseTime = TimeSpan.FromSeconds(2),
            SecretFile = secretFile,
        };
        _connection = new EtcdConnection(cluster, TimeProvider.System);
        var client = new EtcdClient(_connection);
        Watch = new KeyWatch(client, "/lb/edge/", TimeSpan.FromSeconds(1), TimeProvider.System, new ClusterLog("edge", Log));
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(Log));
        var logger = loggers.CreateLogger<AcmeKeeper>();
        var sharing = new AcmeSharing(
            cluster, new AcmeSharingParts(client, Watch, Challenges, TimeProvider.System, Clock, logger));
        _keeper = new AcmeKeeper(Challenges, _ => { }, Clock, logger, sharing);
        Apply(options);
        _watching = Watch.RunAsync(_stop.Token);
    }

    public AcmeOptions Options { get; }

    /// <summary>Its time of day, which goes on only as the test wants it.</summary>
    public FakeClock Clock { get; } = new();

    public KeyWatch Watch { get; }

    public Challenges Challenges { get; } = new();

    public LogRecorder Log { get; } = new();

    /// <summary>The certificate, its issuers and its key; null where there is none.</summary>
    public string? Certificate => AcmeStore.TryRead(Options.FileOf(Options.Names[0]));

    /// <summary>The last attempt.</summary>
    public Attempt Last => new AcmeStore(Options).LastAttempt(Options.Names[0]);

    public List<string> Warnings => [.. Log.Lines.Where(line => !line.StartsWith("Information", StringComparison.Ordinal))];

    /// <summary>Starts one.</summary>
    /// <param name="etcd">The address of etcd.</param>
    /// <param name="name">Its name.</param>
    /// <param name="options">From where, and its own store.</param>
    /// <param name="secretFile">The file with its secret.</param>
    public static async Task<AcmeClusterNode> StartAsync(string etcd, string name, AcmeOptions options, string secretFile)
    {
        var node = new AcmeClusterNode(etcd, name, options, secretFile);
        await Eventually.BeTrueAsync(() => node.Watch.Loaded.IsCompleted || node.Watch.Error is not null, "etcd has answered, or not");
        await node._keeper.StartAsync(default);
        return node;
    }

    /// <summary>Lets time pass at nodes while they wait for it, until something is so.</summary>
    public static Task UntilAsync(Func<bool> condition, string because, params AcmeClusterNode[] nodes) => Eventually.BeTrueAsync(
        () =>
        {
            if (condition())
            {
                return true;
            }
            foreach (var node in nodes.Where(node => node.Clock.UntilNextTimer is not null))
            {
                node.Clock.Advance(TimeSpan.FromSeconds(1));
            }
            return false;
        },
        because);

    public void Apply(AcmeOptions options) => _keeper.Apply(new LoadBalancerOptions
    {
        Listeners = new Dictionary<string, ListenerOptions> { ["web"] = new HttpListenerOptions { Acme = options } },
    });

    /// <summary>Whether it answers a token.</summary>
    public bool Answers(string token) => Challenges.Answer(
        new DefaultHttpContext { Request = { Method = "HEAD", Path = $"/.well-known/acme-challenge/{token}" } }) is not null;

    public async ValueTask DisposeAsync()
    {
        if (_isGone)
        {
            return;
        }
        _isGone = true;
        await _keeper.StopAsync(default);
        _keeper.Dispose();
        await _stop.CancelAsync();
        await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _connection.Dispose();
        _stop.Dispose();
    }
}
