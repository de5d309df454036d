using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Transport;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>A pool whose backends send heartbeats.</summary>
/// <param name="Pool">The pool.</param>
/// <param name="Options">Where they arrive, and what is expected.</param>
/// <param name="Backends">What the configuration says about its backends, by name.</param>
public sealed record HeartbeatPool(BackendPool Pool, HeartbeatOptions Options, IReadOnlyDictionary<string, BackendOptions> Backends);

/// <summary>
/// Receives the heartbeats of every pool that wants them, each pool on its own socket, and notices which backends fall silent.
/// </summary>
internal sealed partial class HeartbeatService(ListenSockets sockets, TimeProvider time, ILogger<HeartbeatService> logger)
    : IHostedService, IDisposable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<BackendPool, HeartbeatMonitor> _monitors = [];
    private readonly Dictionary<string, HeartbeatSocket> _sockets = new(StringComparer.OrdinalIgnoreCase); // by pool
    private IReadOnlyList<HeartbeatPool> _pools = [];
    private ITimer? _ticks; // null before the start

    /// <summary>The statistics of each pool that wants heartbeats.</summary>
    public IReadOnlyList<(string Pool, HeartbeatStatistics Statistics)> Statistics
    {
        get
        {
            lock (_gate)
            {
                return
                [
                    .. _monitors.Select(monitor => (monitor.Key.Name, monitor.Value.Statistics))
                        .OrderBy(entry => entry.Name, StringComparer.OrdinalIgnoreCase),
                ];
            }
        }
    }

    /// <summary>The address at which the heartbeats of a pool really arrive; null if it receives none now.</summary>
    public EndpointAddress? AddressOf(string pool)
    {
        lock (_gate)
        {
            return _sockets.GetValueOrDefault(pool)?.Address;
        }
    }

    /// <summary>
    /// Binds the additional sockets that these pools will need, for <see cref="Watch"/>. Before the start it binds none. An address that
    /// moves from one pool to another keeps its socket.
    /// </summary>
    /// <returns>The sockets; disposing of it closes those that were not taken over.</returns>
    /// <exception cref="StartException">An address cannot be bound; no new socket is kept.</exception>
    public HeartbeatReservation Reserve(IEnumerable<(string Pool, HeartbeatOptions Options)> pools)
    {
        var reservation = new HeartbeatReservation();
        lock (_gate)
        {
            if (_ticks is null)
            {
                return reservation;
            }
            try
            {
                bool IsMissing((string Pool, HeartbeatOptions Options) wanted) =>
                    _sockets.GetValueOrDefault(wanted.Pool)?.Configured != wanted.Options.Address;
                foreach (var (pool, options) in pools.Where(IsMissing))
                {
                    // Port 0 is a different port for each pool.
                    var existing = _sockets.Values.FirstOrDefault(
                        socket => socket.Configured == options.Address && socket.Configured.Port != 0);
                    var socket = existing ?? new HeartbeatSocket(pool, options.Address!, sockets, time, logger);
                    reservation.Add(pool, socket, isNew: existing is null);
                }
            }
            catch
            {
                reservation.Dispose();
                throw;
            }
        }
        return reservation;
    }

    /// <summary>Receives the heartbeats of these pools, and no others, from now on; before the start: from the start on.</summary>
    /// <param name="pools">The pools.</param>
    /// <param name="reservation">The sockets that were bound for them.</param>
    public void Watch(IReadOnlyList<HeartbeatPool> pools, HeartbeatReservation reservation)
    {
        lock (_gate)
        {
            _pools = pools;
            var sockets = _sockets.Values.ToList();
            foreach (var gone in _monitors.Keys.Where(pool => pools.All(wanted => wanted.Pool != pool)).ToList())
            {
                _sockets.Remove(gone.Name);
                _monitors.Remove(gone, out var monitor);
                monitor!.Dispose();
            }
            foreach (var wanted in pools)
            {
                if (!_monitors.TryGetValue(wanted.Pool, out var monitor))
                {
                    _monitors[wanted.Pool] = monitor = new HeartbeatMonitor(wanted.Pool, time, logger);
                }
                monitor.Apply(wanted.Options, wanted.Backends);
            }
            StartReservedNeedsLock(reservation);
            SetTimerNeedsLock();
            DisposeOf(sockets.Except(_sockets.Values));
        }
    }

    /// <inheritdoc/>
    /// <exception cref="StartException">An address cannot be bound.</exception>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _ticks = time.CreateTimer(_ => Tick(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            StartReservedNeedsLock(Reserve(_pools.Select(pool => (pool.Pool.Name, pool.Options))));
            SetTimerNeedsLock();
        }
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _ticks?.Dispose();
            DisposeOf(_sockets.Values);
            _sockets.Clear();
        }
    }

    private void StartReservedNeedsLock(HeartbeatReservation reservation)
    {
        foreach (var wanted in _pools)
        {
            if (reservation.TryTake(wanted.Pool.Name, out var socket))
            {
                _sockets[wanted.Pool.Name] = socket;
                _monitors[wanted.Pool].Begin();
                socket.Start(_monitors[wanted.Pool]);
                LogListening(wanted.Pool.Name, socket.Address.ToString());
            }
        }
    }

    private void SetTimerNeedsLock()
    {
        var interval = _monitors.Count > 0 ? HeartbeatMonitor.TickInterval : Timeout.InfiniteTimeSpan;
        _ticks?.Change(interval, interval);
    }

    private void Tick()
    {
        List<HeartbeatMonitor> monitors;
        lock (_gate)
        {
            monitors = [.. _monitors.Values];
        }
        monitors.ForEach(monitor => monitor.Tick());
    }

    private static void DisposeOf(IEnumerable<HeartbeatSocket> sockets)
    {
        foreach (var socket in sockets)
        {
            socket.Dispose();
        }
    }

    [LoggerMessage(85, LogLevel.Information, "pool '{Pool}' takes heartbeats on {Address}")]
    private partial void LogListening(string pool, string address);
}
