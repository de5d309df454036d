using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>The access logs of all listeners. Listeners that name the same file share it.</summary>
public sealed class AccessLogs : IHostedService, IDisposable
{
    private readonly Dictionary<string, AccessLog> _logs = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Opens them.</summary>
    /// <exception cref="StartException">One of the files cannot be written.</exception>
    public AccessLogs(IReadOnlyDictionary<string, ListenerOptions> listeners, TimeProvider time, ILogger<AccessLog> logger)
    {
        foreach (var (listener, options) in listeners.Where(entry => !entry.Value.AccessLog.Equals("Off", StringComparison.OrdinalIgnoreCase)))
        {
            var setting = options.AccessLog;
            try
            {
                _logs.TryAdd(setting, _logs.GetValueOrDefault(setting) ?? new AccessLog(setting, AccessLog.Open(setting), time, logger));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new StartException($"listener '{listener}': cannot write the access log '{setting}': {e.Message}", e);
            }
        }
    }

    /// <summary>Lines that were lost, in all of them.</summary>
    public long Dropped => _logs.Values.Sum(log => log.Dropped);

    /// <summary>A listener's log; null where it has none.</summary>
    public AccessLog? For(ListenerOptions listener) => _logs.GetValueOrDefault(listener.AccessLog);

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken) => Task.WhenAll(_logs.Values.Select(log => log.StartAsync(cancellationToken)));

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.WhenAll(_logs.Values.Select(log => log.StopAsync(cancellationToken)));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var log in _logs.Values)
        {
            log.Dispose();
        }
    }
}
