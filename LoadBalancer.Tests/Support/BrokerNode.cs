using System.Net;
using System.Text;
using LoadBalancer.Broker;
using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using LoadBalancer.Zmtp;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Support;

/// <summary>A node in this process with a broker as its only listener, and peers for it.</summary>
internal sealed class BrokerNode : IAsyncDisposable
{
    private readonly Node _host;
    private readonly List<IAsyncDisposable> _peers = [];
    private bool _isStopped;

    private BrokerNode(Node host, LogRecorder log) => (_host, Log) = (host, log);

    public LogRecorder Log { get; }

    public BackendPool Pool => _host.Pools.Find("store")!;

    public ErrorStatistics Errors => _host.Errors;

    public BrokerListener Listener => (BrokerListener)_host.Listeners[0];

    /// <summary>Where its dashboard is.</summary>
    public string Dashboard => _host.Management!.Address;

    public BrokerStatus Status => Listener.Status;

    public BrokerPorts Ports => Listener.Ports!;

    /// <summary>How many connections there are where clients connect, those in the handshake included.</summary>
    public int ClientConnections => Listener.Serving!.Requests.Clients.ConnectionCount;

    public bool IsMain => Status.Role == "Main";

    /// <summary>A free port for each purpose.</summary>
    public static BrokerPorts FreePorts { get; } = new()
    {
        Clients = 0,
        Workers = 0,
        HealthCheck = 0,
        AlternativePing = 0,
        WorkerCheckClients = 0,
        WorkerCheckWorkers = 0,
    };

    /// <summary>Starts a node at free ports of 127.0.0.1, unless the options say otherwise.</summary>
    /// <param name="options">Changes them.</param>
    /// <param name="time">The node's clock.</param>
    /// <param name="isManaged">Whether it has a dashboard.</param>
    /// <param name="cluster">Its cluster; null for none.</param>
    public static async Task<BrokerNode> StartAsync(Func<BrokerListenerOptions, BrokerListenerOptions>? options = null,
        TimeProvider? time = null, bool isManaged = false, ClusterOptions? cluster = null)
    {
        var listener = new BrokerListenerOptions
        {
            Address = TestNode.Parse("tcp://127.0.0.1"),
            Pool = "store",
            Ports = FreePorts,
        };
        var host = Node.Build(
            new LoadBalancerOptions
            {
                Listeners = new Dictionary<string, ListenerOptions> { ["store"] = options?.Invoke(listener) ?? listener },
                Pools = new Dictionary<string, PoolOptions> { ["store"] = new() },
                Management = isManaged ? new ManagementOptions { Address = TestNode.Parse("http://127.0.0.1:0") } : null,
                Cluster = cluster,
            },
            time ?? TimeProvider.System);
        var log = new LogRecorder();
        host.Services.GetRequiredService<ILoggerFactory>().AddProvider(log);
        try
        {
            await host.StartAsync();
        }
        catch
        {
            host.Dispose();
            throw;
        }
        return new BrokerNode(host, log);
    }

    /// <summary>Connects a client.</summary>
    public RequestSocket Client(string id)
    {
        var client = Keep(new RequestSocket { Identity = Encoding.UTF8.GetBytes(id) });
        client.Connect(At(Ports.Clients));
        return client;
    }

    /// <summary>Connects a client that asks one thing.</summary>
    public async Task<string> AskAsync(string command, string id = "client")
    {
        await using var client = new RequestSocket { Identity = Encoding.UTF8.GetBytes(id) };
        client.Connect(At(Ports.Clients));
        return (await client.RequestAsync(ZmtpMessage.Of(id, command))).ToString();
    }

    /// <summary>Connects a worker, and returns when it is in the pool.</summary>
    public async Task<ReplySocket> WorkerAsync()
    {
        var before = Status.Workers;
        var worker = Keep(new ReplySocket());
        worker.Connect(At(Ports.Workers));
        await Eventually.BeTrueAsync(() => Status.Workers > before, "the worker joins");
        return worker;
    }

    /// <summary>Connects a worker that answers with its name and the command until it is disposed of.</summary>
    public async Task<ReplySocket> AnsweringWorkerAsync(string name)
    {
        var worker = await WorkerAsync();
        _ = AnswerAsync(worker, name);
        return worker;
    }

    /// <summary>Connects a worker that answers, and leaves it to the caller when it goes.</summary>
    public ReplySocket PassingWorker(string name, Action? answered = null)
    {
        var worker = new ReplySocket();
        worker.Connect(At(Ports.Workers));
        _ = AnswerAsync(worker, name, answered);
        return worker;
    }

    private static async Task AnswerAsync(ReplySocket worker, string name, Action? answered = null)
    {
        try
        {
            while (true)
            {
                var request = await worker.ReceiveAsync();
                request.Reply(ZmtpMessage.Of($"{name}: {request.Message.Text(1)}"));
                answered?.Invoke();
            }
        }
        catch (System.Threading.Channels.ChannelClosedException)
        {
            // The test is over.
        }
    }

    public IPEndPoint At(int port) => new(IPAddress.Parse(Listener.Address.Split("//")[1].Split(':')[0]), port);

    /// <summary>Disposes of something together with the node.</summary>
    public T Keep<T>(T peer)
        where T : IAsyncDisposable
    {
        _peers.Add(peer);
        return peer;
    }

    /// <summary>Orders the node to stop, and returns when it has.</summary>
    public async Task StopAsync()
    {
        _isStopped = true;
        await _host.StopAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var peer in _peers)
        {
            await peer.DisposeAsync();
        }
        if (!_isStopped)
        {
            using var now = new CancellationTokenSource();
            await now.CancelAsync();
            await _host.StopAsync(now.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        _host.Dispose();
        Log.Lines.Should().NotContain(
            line => line.Contains("could not be", StringComparison.Ordinal), "nothing that comes from outside may end in an exception");
    }
}
