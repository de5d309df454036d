using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>Brings backends that a pool ejected back in when their time is over.</summary>
public static class EjectionTimer
{
    /// <summary>Watches a pool for as long as it lives.</summary>
    public static void Watch(BackendPool pool, TimeProvider time)
    {
        async void BringBackLater(BackendPool ejecting, Backend backend)
        {
            await Task.Delay(backend.Health.EjectionTime, time);
            ejecting.EndEjection(backend);
        }
        pool.Ejected += BringBackLater;
    }
}
