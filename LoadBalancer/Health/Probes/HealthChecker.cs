using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Probes;

/// <summary>A pool whose backends are probed.</summary>
public sealed record ProbedPool(BackendPool Pool, HealthCheckOptions Options, IProbe Probe);

/// <summary>
/// Polls the backends of each pool: all at once at the start, then a healthy one every <see cref="HealthCheckOptions.Interval"/> and
/// an unhealthy one every <see cref="HealthCheckOptions.DownInterval"/>, each up to 10 % early at random, so that many load
/// balancers started together do not probe together. The long interval ends early when a request finds the backend down, or when
/// there is reason to doubt it: then the next probe follows at once, but never sooner than DownInterval after the last. Backends that
/// join are polled from then on, those that leave no longer.
/// </summary>
public sealed class HealthChecker(TimeProvider time, Random random, ILogger<HealthChecker> logger) : BackgroundService
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Backend, Polling> _pollings = [];
    private IReadOnlyList<ProbedPool> _pools = [];
    private CancellationToken? _stopping; // null before the start

    /// <summary>Polls the backends of these pools, and no others, from now on; or from the start on, where that is to come.</summary>
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
            StartAndStopPollings();
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        lock (_gate)
        {
            _stopping = stoppingToken;
            StartAndStopPollings();
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
            StartAndStopPollings();
        }
    }

    private void StartAndStopPollings()
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
            var stop = new CancellationTokenSource(); // has no timer and is linked to nothing: it need not be disposed of
            _pollings[backend] = new Polling(probed, stop);
            BackgroundTask.Run(PollAsync(probed, backend, stop.Token), logger, $"pool '{probed.Pool.Name}': probing backend '{backend.Name}'");
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

                if (await IsQuestionedWithinAsync(WithJitter(probed.Options.Interval), probed.Pool, backend, stoppingToken))
                {
                    var rest = WithJitter(probed.Options.DownInterval) - time.GetElapsedTime(probedAt);
                    await Task.Delay(rest > TimeSpan.Zero ? rest : TimeSpan.Zero, time, stoppingToken);
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The load balancer stops, or the backend has left.
        }
    }

    // Sleeps for the interval, but no longer than the backend is up and beyond doubt.
    private async Task<bool> IsQuestionedWithinAsync(TimeSpan interval, BackendPool pool, Backend backend, CancellationToken stoppingToken)
    {
        var questioned = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void OnFlip(BackendPool _, Backend flipped)
        {
            if (flipped == backend && !backend.Health.IsUp)
            {
                questioned.TrySetResult();
            }
        }
        void OnDoubt() => questioned.TrySetResult();

        pool.HealthFlipped += OnFlip;
        backend.Suspected += OnDoubt;
        if (backend.Health.IsUp)
        {
            await questioned.Task.WaitAsync(interval, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        pool.HealthFlipped -= OnFlip;
        backend.Suspected -= OnDoubt;
        stoppingToken.ThrowIfCancellationRequested();
        return questioned.Task.IsCompleted || !backend.Health.IsUp;
    }

    private TimeSpan WithJitter(TimeSpan interval) => interval * (1 - 0.1 * random.NextDouble());

    private sealed record Polling(ProbedPool Pool, CancellationTokenSource Stop);
}
