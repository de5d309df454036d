using System.Collections.Concurrent;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>
/// Lets a backend that was down come back by and by: its weight grows from a hundredth to the whole within a time, so that cold
/// caches and empty connection pools are not met by a full share of the load. When all start together, as with the load balancer,
/// there is nothing to spare anybody.
/// </summary>
public sealed class SlowStart
{
    private const int Steps = 20;
    private const double First = 0.01;

    private readonly BackendPool _pool;
    private readonly TimeSpan _duration;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<Backend, object> _climbs = new(); // those under way

    private SlowStart(BackendPool pool, TimeSpan duration, TimeProvider time) => (_pool, _duration, _time) = (pool, duration, time);

    /// <summary>Watches a pool for as long as it lives.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="duration">How long it takes until a backend has its whole weight again, more than 0.</param>
    /// <param name="time">The clock.</param>
    public static void Watch(BackendPool pool, TimeSpan duration, TimeProvider time) => pool.HealthFlipped += new SlowStart(pool, duration, time).OnFlip;

    // It is put back to the start when it goes down, not when it comes up: by then it may have been chosen already.
    private void OnFlip(BackendPool pool, Backend backend)
    {
        if (!backend.Health.IsUp)
        {
            _climbs.TryRemove(backend, out _);
            _pool.Change(() => backend.Ramp = First);
        }
        else if (backend.Ramp < 1)
        {
            _ = ClimbAsync(backend, _climbs[backend] = new object());
        }
    }

    private async Task ClimbAsync(Backend backend, object climb)
    {
        for (var step = 1; step <= Steps; step++)
        {
            await Task.Delay(_duration / Steps, _time);
            if (_climbs.GetValueOrDefault(backend) != climb)
            {
                return; // It went down meanwhile, and its next climb begins anew.
            }
            var ramp = (double)step / Steps;
            _pool.Change(() => backend.Ramp = ramp);
        }
    }
}
