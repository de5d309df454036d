using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>Logs each change of a backend's health once. A probe that only confirms the present state logs nothing.</summary>
public sealed partial class HealthLog(ILogger<HealthLog> logger)
{
    /// <summary>Logs the changes of a pool from now on.</summary>
    public void Watch(BackendPool pool) => pool.HealthFlipped += OnFlip;

    /// <summary>Logs them no longer.</summary>
    public void Unwatch(BackendPool pool) => pool.HealthFlipped -= OnFlip;

    private void OnFlip(BackendPool pool, Backend backend)
    {
        if (backend.Health.IsUp)
        {
            LogUp(pool.Name, backend.Name, backend.Health.Reason);
        }
        else
        {
            LogDown(pool.Name, backend.Name, backend.Health.Reason);
        }
    }

    [LoggerMessage(1, LogLevel.Information, "pool '{Pool}': backend '{Backend}' is up: {Reason}")]
    private partial void LogUp(string pool, string backend, string reason);

    [LoggerMessage(2, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' is down: {Reason}")]
    private partial void LogDown(string pool, string backend, string reason);
}
