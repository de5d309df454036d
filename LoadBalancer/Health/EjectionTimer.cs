using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>Brings backends that a pool ejected back in when their time is over.</summary>
public static class EjectionTimer
{
    /// <summary>Watches a pool for as long as it lives.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="ejection">How long an ejected backend stays out.</param>
    /// <param name="time">The clock.</param>
    public static void Watch(BackendPool pool, TimeSpan ejection, TimeProvider time)
    {
        async void BringBackLater(BackendPool ejecting, Backend backend)
        {
            await Task.Delay(ejection, time);
            ejecting.EndEjection(backend);
        }
        pool.Ejected += BringBackLater;
    }
}
