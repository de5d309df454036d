using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Probes;

/// <summary>A pool whose backends are probed.</summary>
public sealed record ProbedPool(BackendPool Pool, HealthCheckOptions Options, IProbe Probe);

/// <summary>
/// Probes the backends of each pool: all at once at the start, then a healthy one every <see cref="HealthCheckOptions.Interval"/> and
/// an unhealthy one every <see cref="HealthCheckOptions.DownInterval"/>, each up to 10 % early at random, so that load balancers
/// that were started together do not probe together. The long interval ends early when a request finds the backend down, or when
/// the backend is suspected to be down: then the next probe follows at once, but never sooner than DownInterval after the last one.
/// Backends that join are probed from then on, backends that leave no longer.
/// </summary>
public sealed class HealthChecker(TimeProvider time, Random random, ILogger<HealthChecker> logger) : BackgroundService
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Backend, Polling> _pollings = [];
    private IReadOnlyList<ProbedPool> _pools = [];
    private CancellationToken? _stopping; // null before the start

    /// <summary>Probes the backends of these pools, and no others, from now on; before the start: from the start on.</summary>
    public void Watch(IReadOnlyList<ProbedPool> pools)
    {
        lock (_gate)
        {
            foreach (var gone in _pools)
            {
                gone.Pool.MembersChanged -= OnMembersChanged;
            }
            foreach (var watched in pools)
            {
                watched.Pool.MembersChanged += OnMembersChanged;
            }
            _pools = pools;
            UpdatePollingNeedsLock();
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        lock (_gate)
        {
            _stopping = stoppingToken;
            UpdatePollingNeedsLock();
        }
        await Task.Delay(Timeout.InfiniteTimeSpan, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_gate)
        {
            foreach (var polling in _pollings.Values)
            {
                polling.Stop.Cancel();
            }
        }
    }

    private void OnMembersChanged(BackendPool pool)
    {
        lock (_gate)
        {
            UpdatePollingNeedsLock();
        }
    }

    private void UpdatePollingNeedsLock()
    {
        if (_stopping is not { IsCancellationRequested: false })
        {
            return;
        }
        var wanted = _pools.SelectMany(probed => probed.Pool.Snapshot.Members.Select(backend => (backend, probed))).ToDictionary();
        foreach (var (backend, polling) in _pollings.Where(polling => wanted.GetValueOrDefault(polling.Key) != polling.Value.Pool).ToList())
        {
            _pollings.Remove(backend);
            polling.Stop.Cancel();
        }
        foreach (var (backend, probed) in wanted.Where(entry => !_pollings.ContainsKey(entry.Key)))
        {
            var stop = new CancellationTokenSource(); // needs no Dispose: it has no timer and no linked token
            _pollings[backend] = new Polling(probed, stop);
            BackgroundTask.Run(
                PollAsync(probed, backend, stop.Token), logger, $"pool '{probed.Pool.Name}': probing backend '{backend.Name}'");
        }
    }

    private async Task PollAsync(ProbedPool probed, Backend backend, CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                var probedAt = time.GetTimestamp();
                if (await probed.Probe.ProbeAsync(backend, stoppingToken) is { } result)
                {
                    probed.Pool.ObserveProbe(backend, result.Succeeded, result.Reason);
                }

                if (await IsSuspectWithinAsync(WithJitter(probed.Options.Interval), probed.Pool, backend, stoppingToken))
                {
                    var left = WithJitter(probed.Options.DownInterval) - time.GetElapsedTime(probedAt);
                    await Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero, time, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The load balancer stops, or the backend has left the pool.
        }
    }

    // Waits for the interval, but no longer than the backend is up and nothing is suspected.
    private async Task<bool> IsSuspectWithinAsync(TimeSpan interval, BackendPool pool, Backend backend, CancellationToken stoppingToken)
    {
        var suspect = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void OnFlip(BackendPool _, Backend flipped)
        {
            if (flipped == backend && !backend.Health.IsUp)
            {
                suspect.TrySetResult();
            }
        }
        void OnSuspected() => suspect.TrySetResult();

        pool.HealthFlipped += OnFlip;
        backend.Suspected += OnSuspected;
        if (backend.Health.IsUp)
        {
            await suspect.Task.WaitAsync(interval, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        pool.HealthFlipped -= OnFlip;
        backend.Suspected -= OnSuspected;
        stoppingToken.ThrowIfCancellationRequested();
        return suspect.Task.IsCompleted || !backend.Health.IsUp;
    }

    private TimeSpan WithJitter(TimeSpan interval) => interval * (1 - 0.1 * random.NextDouble());

    private sealed record Polling(ProbedPool Pool, CancellationTokenSource Stop);
}
