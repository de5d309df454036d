using System.Collections.Concurrent;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>
/// Gives a backend that was down, or has just joined, its share step by step: its weight grows from a hundredth to the whole within
/// <see cref="Duration"/>, so that cold caches and empty connection pools do not get a full share of the load at once. Backends that
/// start together with the load balancer get their whole weight at once: no other backend could take their share.
/// </summary>
public sealed class SlowStart
{
    /// <summary>The ramp of a backend whose slow start has not begun.</summary>
    public const double FirstRamp = 0.01;

    private const int Steps = 20;

    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<Backend, object> _climbs = new(); // slow starts under way

    private SlowStart(BackendPool pool, TimeProvider time, ILogger logger) => (_pool, _time, _logger) = (pool, time, logger);

    /// <summary>
    /// How long it takes until a backend has its whole weight; 0 means no slow start. Holds for slow starts that begin from now on.
    /// </summary>
    public TimeSpan Duration { get; set; }

    /// <summary>Watches a pool for as long as it lives.</summary>
    public static SlowStart Watch(BackendPool pool, TimeSpan duration, TimeProvider time, ILogger logger)
    {
        var slowStart = new SlowStart(pool, time, logger) { Duration = duration };
        pool.HealthFlipped += slowStart.OnFlip;
        pool.MembersChanged += slowStart.OnMembersChanged;
        return slowStart;
    }

    // The ramp is reset when the backend goes down, not when it comes up: by then the backend may have been chosen already.
    private void OnFlip(BackendPool pool, Backend backend)
    {
        if (!backend.Health.IsUp && (Duration > TimeSpan.Zero || backend.Ramp < 1))
        {
            _climbs.TryRemove(backend, out _);
            _pool.Change(() => backend.Ramp = Duration > TimeSpan.Zero ? FirstRamp : 1);
        }
        if (backend.Health.IsUp) // It may have come up at this moment, on another thread, which saw the old ramp.
        {
            Begin(backend);
        }
    }

    private void OnMembersChanged(BackendPool pool)
    {
        foreach (var backend in pool.Snapshot.Members.Where(backend => backend.Health.IsUp && !_climbs.ContainsKey(backend)))
        {
            Begin(backend);
        }
        foreach (var gone in _climbs.Keys.Where(backend => backend.IsRemoved))
        {
            _climbs.TryRemove(gone, out _);
        }
    }

    private void Begin(Backend backend)
    {
        if (backend.Ramp < 1)
        {
            BackgroundTask.Run(
                ClimbAsync(backend, _climbs[backend] = new object(), Duration / Steps), _logger,
                    $"pool '{_pool.Name}': slow start of backend '{backend.Name}'");
        }
    }

    private async Task ClimbAsync(Backend backend, object climb, TimeSpan pause)
    {
        for (var step = 1; step <= Steps; step++)
        {
            await Task.Delay(pause, _time);
            if (_climbs.GetValueOrDefault(backend) != climb)
            {
                return; // It went down meanwhile, and another slow start has begun; or it has left the pool.
            }
            var ramp = (double)step / Steps;
            _pool.Change(() => backend.Ramp = ramp);
        }
        _climbs.TryRemove(KeyValuePair.Create(backend, climb));
    }
}
