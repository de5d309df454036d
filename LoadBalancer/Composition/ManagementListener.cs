using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Server;

namespace LoadBalancer.Composition;

/// <summary>The listener for operators: a server like those for clients, with other endpoints.</summary>
internal sealed partial class ManagementListener : IHostedService, IDisposable
{
    private const string Name = "management";
    private const int LargestBody = 64 * 1024;

    private readonly KestrelListener _listener;
    private readonly ILogger _logger;

    /// <summary>Makes the listener; it listens from <see cref="StartAsync"/> on.</summary>
    public ManagementListener(ManagementOptions options, RequestDelegate endpoints, TimeProvider time, ILoggerFactory loggers)
    {
        var listener = new HttpListenerOptions { Address = options.Address, MaxRequestBodySize = LargestBody };
        _listener = new KestrelListener(Name, listener, endpoints, null, null, time, loggers);
        _logger = loggers.CreateLogger<ManagementListener>();
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
