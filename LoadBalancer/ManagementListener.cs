using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Metrics;
using LoadBalancer.Http.Server;
using LoadBalancer.Management;

namespace LoadBalancer;

/// <summary>The listener for operators: a server like those for clients, with other endpoints.</summary>
internal sealed partial class ManagementListener : IHostedService, IDisposable
{
    private const string Name = "management";
    private const int LargestBody = 64 * 1024;

    private readonly KestrelListener _listener;
    private readonly ILogger _logger;

    /// <summary>Makes the listener; it listens from <see cref="StartAsync"/> on.</summary>
    public ManagementListener(ManagementOptions options, IServiceProvider provider)
    {
        var pools = provider.GetRequiredService<NodePools>();
        var administration = new PoolAdministration(pools.Put, pools.Delete, provider.GetRequiredService<ILogger<PoolAdministration>>());
        var endpoints = new ManagementEndpoints(
            new ManagementGuard(options), () => pools.All, administration, provider.GetRequiredService<EventHub>(), provider.GetRequiredService<ErrorStatistics>(),
            () => PrometheusText.Of(provider.GetRequiredService<NodeMetrics>()), provider.GetRequiredService<IHostApplicationLifetime>());
        var listener = new HttpListenerOptions { Address = options.Address, MaxRequestBodySize = LargestBody };
        _listener = new KestrelListener(Name, listener, endpoints.InvokeAsync, null, null, provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILoggerFactory>());
        _logger = provider.GetRequiredService<ILogger<ManagementListener>>();
    }

    /// <summary>Where it really listens.</summary>
    public string Address => _listener.Address;

    /// <inheritdoc/>
    /// <exception cref="StartException">It cannot listen.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await _listener.StartAsync(cancellationToken);
        LogListening(Address);
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => _listener.StopAsync(cancellationToken);

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();

    [LoggerMessage(23, LogLevel.Information, "management: the dashboard is at {Address}")]
    private partial void LogListening(string address);
}
