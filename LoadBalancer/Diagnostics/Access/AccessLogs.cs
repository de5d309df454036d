using System.Runtime.InteropServices;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>
/// The access logs of all listeners. Listeners that name the same file share it. SIGHUP and SIGUSR1 reopen the files, so that a program
/// that rotates logs may rename them (not on Windows, which has neither signal).
/// </summary>
public sealed class AccessLogs : IHostedService, IDisposable
{
    private readonly Dictionary<string, AccessLog> _logs = new(StringComparer.OrdinalIgnoreCase);
    private PosixSignalRegistration[] _signals = [];

    /// <summary>Opens them.</summary>
    /// <exception cref="StartException">One of the files cannot be written.</exception>
    public AccessLogs(IReadOnlyDictionary<string, ListenerOptions> listeners, TimeProvider time, ILogger<AccessLog> logger)
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
                _logs.Add(setting, new AccessLog(setting, () => AccessLog.Open(setting), time, logger));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Dispose();
                throw new StartException($"listener '{listener}': cannot write the access log '{setting}': {e.Message}", e);
            }
        }
    }

    /// <summary>SIGUSR1. PosixSignal has no name for it: 10 on Linux, 30 on macOS and the BSDs.</summary>
    public static PosixSignal SigUsr1 => (PosixSignal)(OperatingSystem.IsLinux() ? 10 : 30);

    /// <summary>Lines that were lost, in all of them.</summary>
    public long Dropped => _logs.Values.Sum(log => log.Dropped);

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

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true; // Its default is to end the process.
        foreach (var log in _logs.Values)
        {
            log.Reopen();
        }
    }
}
