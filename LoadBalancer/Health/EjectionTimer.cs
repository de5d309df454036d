using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>Ends the ejection of a backend when its time is over.</summary>
public static class EjectionTimer
{
    /// <summary>Watches a pool for as long as it lives.</summary>
    public static void Watch(BackendPool pool, TimeProvider time, ILogger logger)
    {
        pool.Ejected += (ejecting, backend) => Begin(ejecting, backend, time, logger);
        foreach (var backend in pool.Snapshot.Members.Where(backend => backend.Health.EjectionLeft > TimeSpan.Zero))
        {
            Begin(pool, backend, time, logger); // Another process has ejected it.
        }
    }

    private static void Begin(BackendPool pool, Backend backend, TimeProvider time, ILogger logger) => BackgroundTask.Run(
        EndLaterAsync(pool, backend, time), logger, $"pool '{pool.Name}': ending the ejection of backend '{backend.Name}'");

    private static async Task EndLaterAsync(BackendPool pool, Backend backend, TimeProvider time)
    {
        await Task.Delay(backend.Health.EjectionLeft, time);
        pool.EndEjection(backend);
    }
}
