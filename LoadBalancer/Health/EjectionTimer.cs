using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>Ends the ejection of a backend when <see cref="BackendHealth.EjectionTime"/> is over.</summary>
public static class EjectionTimer
{
    /// <summary>Watches a pool for as long as it lives.</summary>
    public static void Watch(BackendPool pool, TimeProvider time, ILogger logger) => pool.Ejected += (ejecting, backend) =>
        BackgroundTask.Run(
            EndLaterAsync(ejecting, backend, time), logger, $"pool '{ejecting.Name}': ending the ejection of backend '{backend.Name}'");

    private static async Task EndLaterAsync(BackendPool pool, Backend backend, TimeProvider time)
    {
        await Task.Delay(backend.Health.EjectionTime, time);
        pool.EndEjection(backend);
    }
}
