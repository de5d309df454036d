using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Server;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Support;

/// <summary>A whole node in this process, listening on a free port, with one listener and one pool.</summary>
internal sealed class TestNode : IAsyncDisposable
{
    private readonly Node _host;
    private readonly ErrorLog _errors;

    private TestNode(Node host, ErrorLog errors, LogRecorder log)
    {
        (_host, _errors, Log) = (host, errors, log);
        var address = new Uri(host.Listeners[0].Address);
        Port = address.Port;
        Client = new HttpClient(NewHandler()) { BaseAddress = address };
    }

    public int Port { get; }

    public HttpClient Client { get; }

    /// <summary>What the node logs.</summary>
    public LogRecorder Log { get; }

    /// <summary>The errors that clients saw.</summary>
    public LoadBalancer.Diagnostics.ErrorStatistics Errors => _host.Errors;

    public KestrelListener Listener => (KestrelListener)_host.Listeners[0];

    public BackendPool Pool => _host.Pools.Find("web")!;

    /// <summary>Starts a node in front of these backends.</summary>
    /// <param name="backends">Their addresses; they are named b1, b2, …</param>
    /// <param name="pool">Changes the pool's options. Without it, no backend is probed and no request is queued.</param>
    /// <param name="listener">Changes the listener's options.</param>
    /// <param name="time">The node's clock.</param>
    /// <param name="otherPools">Further pools, by name, of one backend each.</param>
    /// <param name="otherListeners">Further listeners, by name.</param>
    public static async Task<TestNode> StartAsync(
        IEnumerable<string> backends, Func<PoolOptions, PoolOptions>? pool = null, Func<HttpListenerOptions,
            HttpListenerOptions>? listener = null, TimeProvider? time = null,
        Dictionary<string, string>? otherPools = null, Dictionary<string, ListenerOptions>? otherListeners = null)
    {
        var poolOptions = PoolOf(backends);
        var listenerOptions = new HttpListenerOptions { Address = Parse("http://127.0.0.1:0"), Pool = "web" };
        var host = Node.Build(
            new LoadBalancerOptions
            {
                Listeners = new Dictionary<string, ListenerOptions>((otherListeners ?? [])
                    .Prepend(KeyValuePair.Create<string, ListenerOptions>("web", listener?.Invoke(listenerOptions) ?? listenerOptions))),
                Pools = new Dictionary<string, PoolOptions>(
                    (otherPools ?? []).Select(entry => KeyValuePair.Create(entry.Key, PoolOf([entry.Value])))
                        .Append(KeyValuePair.Create("web", pool?.Invoke(poolOptions) ?? poolOptions))),
            },
            time ?? TimeProvider.System);
        var (errors, log) = (new ErrorLog(), new LogRecorder());
        var factory = host.Services.GetRequiredService<ILoggerFactory>();
        factory.AddProvider(errors);
        factory.AddProvider(log);
        await host.StartAsync();
        return new TestNode(host, errors, log);
    }

    /// <summary>A handler for clients that neither follow redirects nor check who the node is.</summary>
    public static SocketsHttpHandler NewHandler() => new()
    {
        UseProxy = false,
        AllowAutoRedirect = false,
        SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
    };

    /// <summary>Orders the node to stop, and returns when it has.</summary>
    public Task StopAsync(CancellationToken cancellationToken = default)
    {
        _host.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        return _host.StopAsync(cancellationToken);
    }

    /// <summary>Opens a connection to the node.</summary>
    public Task<RawPeer> ConnectAsync() => RawPeer.ConnectAsync(Port);

    /// <summary>Sends one request on a connection of its own and reads until the node closes it.</summary>
    public Task<string> ExchangeAsync(string request) => RawPeer.ExchangeAsync(Port, request);

    public async ValueTask DisposeAsync()
    {
        var errors = _errors.Errors.ToArray(); // Of what ends without notice, as it does now, some may complain.
        Client.Dispose();
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _host.StopAsync(now.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _host.Dispose();
        errors.Should().BeEmpty("nothing that comes from outside may end in an exception");
    }

    private static PoolOptions PoolOf(IEnumerable<string> backends) =>
        new()
        {
            Backends = backends.Index().ToDictionary(
        entry => $"b{entry.Index + 1}", entry => new BackendOptions { Address = Parse(entry.Item) })
        };

    internal static EndpointAddress Parse(string text) =>
        EndpointAddress.TryParse(text, out var address, out var error) ? address : throw new ArgumentException(error);
}
