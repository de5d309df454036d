using LoadBalancer.Diagnostics;

namespace LoadBalancer.Listeners;

/// <summary>Starts all listeners, and stops them together.</summary>
public sealed partial class ListenerService(IReadOnlyList<IListener> listeners, ILogger<ListenerService> logger) : IHostedService
{
    /// <summary>The listeners, in the order of the configuration.</summary>
    public IReadOnlyList<IListener> Listeners => listeners;

    /// <inheritdoc/>
    /// <exception cref="StartException">One of them cannot listen; none is left listening.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var listener in listeners)
        {
            await listener.StartAsync(cancellationToken);
            LogListening(listener.Name, listener.Address);
        }
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        LogStopping();
        await Task.WhenAll(listeners.Select(listener => listener.StopAsync(cancellationToken)));
        LogStopped();
    }

    [LoggerMessage(20, LogLevel.Information, "listener '{Listener}' listens on {Address}")]
    private partial void LogListening(string listener, string address);

    [LoggerMessage(21, LogLevel.Information, "stopping: no new connections; requests in flight may finish")]
    private partial void LogStopping();

    [LoggerMessage(22, LogLevel.Information, "stopped")]
    private partial void LogStopped();
}
