using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tcp;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Support;

/// <summary>A whole node in this process with one TCP listener on a free port, in front of one pool.</summary>
internal sealed class TcpNode : IAsyncDisposable
{
    private readonly Node _host;
    private readonly ErrorLog _errors;

    private TcpNode(Node host, ErrorLog errors, LogRecorder log)
    {
        (_host, _errors, Log) = (host, errors, log);
        Port = Listener.Address.StartsWith("unix:", StringComparison.Ordinal) ? 0 : new Uri(Listener.Address).Port;
    }

    public int Port { get; }

    /// <summary>Everything that was logged.</summary>
    public LogRecorder Log { get; }

    public TcpRelayListener Listener => (TcpRelayListener)_host.Listeners[0];

    public BackendPool Pool => _host.Pools.Find("logic")!;

    /// <summary>Starts a node in front of these backends, which are named b1, b2, …</summary>
    public static async Task<TcpNode> StartAsync(
        IEnumerable<int> ports, Func<PoolOptions, PoolOptions>? pool = null, Func<TcpListenerOptions, TcpListenerOptions>? listener = null,
            TimeProvider? time = null)
    {
        var poolOptions = new PoolOptions
        {
            Backends = ports.Index()
            .ToDictionary(entry => $"b{entry.Index + 1}",
            entry => new BackendOptions { Address = new EndpointAddress("tcp", "127.0.0.1", entry.Item) })
        };
        var listenerOptions = new TcpListenerOptions { Address = new EndpointAddress("tcp", "127.0.0.1", 0), Pool = "logic" };
        var host = Node.Build(
            new LoadBalancerOptions
            {
                Listeners = new Dictionary<string, ListenerOptions> { ["chat"] = listener?.Invoke(listenerOptions) ?? listenerOptions },
                Pools = new Dictionary<string, PoolOptions> { ["logic"] = pool?.Invoke(poolOptions) ?? poolOptions },
            },
            time ?? TimeProvider.System);
        var (errors, log) = (new ErrorLog(), new LogRecorder());
        host.Services.GetRequiredService<ILoggerFactory>().AddProvider(errors);
        host.Services.GetRequiredService<ILoggerFactory>().AddProvider(log);
        await host.StartAsync();
        return new TcpNode(host, errors, log);
    }

    /// <summary>Opens a connection to the node.</summary>
    public Task<RawPeer> ConnectAsync() => RawPeer.ConnectAsync(Port);

    /// <summary>Waits until there is no connection any more, nor anything that one has left behind.</summary>
    public async Task QuietAsync()
    {
        await Eventually.BeTrueAsync(() => Listener.Connections == 0, "every connection ends");
        Pool.Snapshot.Members.Should().OnlyContain(backend => backend.InFlight == 0);
    }

    /// <summary>Lets time pass until there is no connection any more.</summary>
    public async Task QuietAfterAsync(FakeTimeProvider clock, TimeSpan step)
    {
        await Eventually.BeTrueAsync(
            () =>
            {
                clock.Advance(step);
                return Listener.Connections == 0;
            },
            "every connection ends");
        await QuietAsync();
    }

    /// <summary>How many connections have ended this way, with any backend or without one.</summary>
    public long Ended(ConnectionEnd end) =>
        Pool.Snapshot.Members.Sum(backend => backend.Connections.Ended(end)) + Pool.Statistics.Connections.Ended(end);

    /// <summary>Orders the node to stop, and returns when it has.</summary>
    public Task StopAsync(CancellationToken cancellationToken = default) => _host.StopAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        var errors = _errors.Errors.ToArray();
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _host.StopAsync(now.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _host.Dispose();
        errors.Should().BeEmpty("nothing that comes from outside may end in an exception");
    }
}
