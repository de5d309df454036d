using LoadBalancer.Diagnostics;

namespace LoadBalancer.Listeners;

/// <summary>Starts all listeners, and stops them together; says what the stop waits for.</summary>
/// <param name="listeners">The listeners, in the order of the configuration.</param>
/// <param name="started">Called when all of them listen.</param>
/// <param name="inFlight">What a listener has in flight, in words; null where that is nothing.</param>
/// <param name="longestStop">How long a stop may take.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets the addresses, and the progress of the stop.</param>
public sealed partial class ListenerService(
    IReadOnlyList<IListener> listeners, Action started, Func<IListener, string?> inFlight, Func<TimeSpan> longestStop, TimeProvider time,
    ILogger<ListenerService> logger) : IHostedService
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(5);

    /// <inheritdoc/>
    /// <exception cref="StartException">One of them cannot listen; none is left listening.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var listener in listeners)
        {
            await listener.StartAsync(cancellationToken);
        }
        started();
        foreach (var listener in listeners)
        {
            LogListening(listener.Name, listener.Address);
        }
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        LogStopping(InFlight() is { } work ? $"waiting {longestStop().TotalSeconds:0.#} s at most for {work}" : "nothing is in flight");
        using var cut = cancellationToken.Register(() => LogCutOff(InFlight() ?? "idle connections"));
        var stop = Task.WhenAll(listeners.Select(listener => listener.StopAsync(cancellationToken)));
        while (true)
        {
            using var woken = new CancellationTokenSource();
            await Task.WhenAny(stop, Task.Delay(ReportInterval, time, woken.Token));
            await woken.CancelAsync();
            if (stop.IsCompleted || cancellationToken.IsCancellationRequested)
            {
                break;
            }
            LogStillWaiting(InFlight() ?? "connections to close");
        }
        await stop;
        LogStopped();
    }

    private string? InFlight()
    {
        var work = listeners
            .Select(listener => inFlight(listener) is { } text ? $"listener '{listener.Name}': {text}" : null).OfType<string>();
        return string.Join(", ", work) is { Length: > 0 } all ? all : null;
    }

    [LoggerMessage(20, LogLevel.Information, "listener '{Listener}' listens on {Address}")]
    private partial void LogListening(string listener, string address);

    [LoggerMessage(21, LogLevel.Information, "stopping: no new connections; {Work}")]
    private partial void LogStopping(string work);

    [LoggerMessage(24, LogLevel.Information, "stopping: still waiting for {Work}")]
    private partial void LogStillWaiting(string work);

    [LoggerMessage(25, LogLevel.Warning, "stopping: waits no longer, and cuts off {Work}")]
    private partial void LogCutOff(string work);

    [LoggerMessage(22, LogLevel.Information, "stopped")]
    private partial void LogStopped();
}
