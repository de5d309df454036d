using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>
/// The access logs of all listeners. Listeners that name the same file share it. SIGHUP and SIGUSR1 reopen the files, so that a program
/// that rotates logs may rename them (not on Windows, which has neither signal).
/// </summary>
public sealed class AccessLogs(TimeProvider time, ILogger<AccessLog> logger) : IHostedService, IDisposable
{
    private readonly ConcurrentDictionary<string, AccessLog> _logs = new(StringComparer.OrdinalIgnoreCase);
    private PosixSignalRegistration[] _signals = [];
    private bool _isRunning;
    private long _droppedBefore; // by logs that are closed

    /// <summary>Opens the logs of these listeners that are not open yet.</summary>
    /// <exception cref="StartException">One of the files cannot be written. Others may be open: see <see cref="CloseUnused"/>.</exception>
    public void Open(IReadOnlyDictionary<string, ListenerOptions> listeners)
    {
        foreach (var (listener, options) in listeners)
        {
            if (options is not HttpListenerOptions { AccessLog: var setting } || setting.Equals("Off", StringComparison.OrdinalIgnoreCase)
                || _logs.ContainsKey(setting))
            {
                continue;
            }
            try
            {
                var log = _logs[setting] = new AccessLog(setting, () => AccessLog.Open(setting), time, logger);
                if (_isRunning)
                {
                    BackgroundTask.Run(log.StartAsync(CancellationToken.None), logger, $"starting the access log '{setting}'");
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new StartException($"listener '{listener}': cannot write the access log '{setting}': {e.Message}", e);
            }
        }
    }

    /// <summary>Closes the logs that no listener writes to any more, when their last lines are written. Returns at once.</summary>
    /// <param name="used">The settings of all listeners, those included that still finish requests.</param>
    public void CloseUnused(IReadOnlyCollection<string> used)
    {
        foreach (var (setting, log) in _logs)
        {
            if (!used.Contains(setting, StringComparer.OrdinalIgnoreCase) && _logs.TryRemove(setting, out _))
            {
                BackgroundTask.Run(CloseAsync(log), logger, $"closing the access log '{setting}'");
            }
        }
    }

    /// <summary>SIGUSR1. PosixSignal has no name for it: 10 on Linux, 30 on macOS and the BSDs.</summary>
    public static PosixSignal SigUsr1 => (PosixSignal)(OperatingSystem.IsLinux() ? 10 : 30);

    /// <summary>Lines that were lost, in all of them.</summary>
    public long Dropped => Interlocked.Read(ref _droppedBefore) + _logs.Values.Sum(log => log.Dropped);

    /// <summary>A listener's log; null where it has none.</summary>
    public AccessLog? For(HttpListenerOptions listener) => _logs.GetValueOrDefault(listener.AccessLog);

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsWindows())
        {
            // Also where there is no file to reopen: without a handler SIGUSR1 ends the process.
            _signals = [PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnSignal), PosixSignalRegistration.Create(SigUsr1, OnSignal)];
        }
        _isRunning = true;
        return Task.WhenAll(_logs.Values.Select(log => log.StartAsync(cancellationToken)));
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) =>
        Task.WhenAll(_logs.Values.Select(log => log.StopAsync(cancellationToken)));

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var signal in _signals)
        {
            signal.Dispose();
        }
        foreach (var log in _logs.Values)
        {
            log.Dispose();
        }
    }

    private async Task CloseAsync(AccessLog log)
    {
        await log.StopAsync(CancellationToken.None);
        Interlocked.Add(ref _droppedBefore, log.Dropped);
        log.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true; // Its default is to end the process.
        foreach (var log in _logs.Values)
        {
            log.Reopen();
        }
    }
}
