using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tasks;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Support;

/// <summary>A whole node in this process with one listener of tasks on free ports.</summary>
internal sealed class TasksNode : IAsyncDisposable
{
    private readonly Node _host;
    private readonly ErrorLog _errors;

    private TasksNode(Node host, ErrorLog errors, LogRecorder log) => (_host, _errors, Log) = (host, errors, log);

    public int ClientPort => new Uri(Listener.Address).Port;

    public int WorkerPort => Listener.WorkerAddress.Port;

    /// <summary>Everything that was logged.</summary>
    public LogRecorder Log { get; }

    public TasksListener Listener => (TasksListener)_host.Listeners[0];

    public BackendPool Pool => _host.Pools.Find("tasks")!;

    /// <summary>Starts a node.</summary>
    public static async Task<TasksNode> StartAsync(Func<TasksListenerOptions, TasksListenerOptions>? listener = null, Func<PoolOptions,
        PoolOptions>? pool = null, TimeProvider? time = null)
    {
        var any = new EndpointAddress("tcp", "127.0.0.1", 0);
        var options = new TasksListenerOptions { Address = any, WorkerAddress = any, Pool = "tasks" };
        var host = Node.Build(
            new LoadBalancerOptions
            {
                Listeners = new Dictionary<string, ListenerOptions> { ["tasks"] = listener?.Invoke(options) ?? options },
                Pools = new Dictionary<string, PoolOptions> { ["tasks"] = pool?.Invoke(new PoolOptions()) ?? new PoolOptions() },
            },
            time ?? TimeProvider.System);
        var (errors, log) = (new ErrorLog(), new LogRecorder());
        host.Services.GetRequiredService<ILoggerFactory>().AddProvider(errors);
        host.Services.GetRequiredService<ILoggerFactory>().AddProvider(log);
        await host.StartAsync();
        return new TasksNode(host, errors, log);
    }

    /// <summary>Opens a client's connection.</summary>
    public Task<LinePeer> ConnectAsync() => LinePeer.ConnectAsync(ClientPort);

    /// <summary>Opens a worker's connection and registers.</summary>
    public async Task<LinePeer> RegisterAsync(string name, int? capacity = null)
    {
        var worker = await LinePeer.ConnectAsync(WorkerPort);
        await worker.SendAsync(capacity is null ? $"REGISTER|{name}" : $"REGISTER|{name}|{capacity}");
        (await worker.ReadAsync()).Should().Be($"ACK|{name}");
        await Eventually.BeTrueAsync(() =>
            Pool.Snapshot.Members.Any(member => member.Name == name && !member.IsRemoved), "it is a member of the pool");
        return worker;
    }

    /// <summary>Orders the node to stop, and returns when it has.</summary>
    public Task StopAsync(CancellationToken cancellationToken = default) => _host.StopAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _host.StopAsync(now.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _host.Dispose();
        _errors.Errors.Should().BeEmpty();
        Log.Lines.Should().NotContain(
            line => line.StartsWith("Error", StringComparison.Ordinal), "nothing that comes from outside may end in an exception");
    }
}
