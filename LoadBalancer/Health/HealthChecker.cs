using LoadBalancer.Configuration;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>A pool whose backends are probed.</summary>
public sealed record ProbedPool(BackendPool Pool, HealthCheckOptions Options, IProbe Probe);

/// <summary>
/// Polls the backends of each pool: all at once at the start, then a healthy one every <see cref="HealthCheckOptions.Interval"/> and
/// an unhealthy one every <see cref="HealthCheckOptions.DownInterval"/>, each up to 10 % early at random, so that many load
/// balancers started together do not probe together. The long interval ends early when a request finds the backend down, or when
/// there is reason to doubt it: then the next probe follows at once, but never sooner than DownInterval after the last.
/// </summary>
public sealed class HealthChecker(IReadOnlyList<ProbedPool> pools, TimeProvider time, Random random) : BackgroundService
{
    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            await Task.WhenAll(from probed in pools from backend in probed.Pool.Snapshot.Members select PollAsync(probed, backend, stoppingToken));
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The load balancer stops.
        }
    }

    private async Task PollAsync(ProbedPool probed, Backend backend, CancellationToken stoppingToken)
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
        backend.Doubted += OnDoubt;
        if (backend.Health.IsUp)
        {
            await questioned.Task.WaitAsync(interval, time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        pool.HealthFlipped -= OnFlip;
        backend.Doubted -= OnDoubt;
        stoppingToken.ThrowIfCancellationRequested();
        return questioned.Task.IsCompleted || !backend.Health.IsUp;
    }

    private TimeSpan WithJitter(TimeSpan interval) => interval * (1 - 0.1 * random.NextDouble());
}
