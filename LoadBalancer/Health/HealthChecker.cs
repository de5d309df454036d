using LoadBalancer.Configuration;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>A pool whose backends are probed.</summary>
public sealed record ProbedPool(BackendPool Pool, HealthCheckOptions Options, IProbe Probe);

/// <summary>
/// Polls the backends of each pool: all at once at the start, then a healthy one every <see cref="HealthCheckOptions.Interval"/> and
/// an unhealthy one every <see cref="HealthCheckOptions.DownInterval"/>, each up to 10 % early at random, so that many load
/// balancers started together do not probe together. Whoever sees a backend go down first, a probe or a request, from then on
/// <see cref="HealthCheckOptions.DownInterval"/> counts.
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
            var result = await probed.Probe.ProbeAsync(backend, stoppingToken);
            probed.Pool.ObserveProbe(backend, result.Succeeded, result.Reason);
            await SleepWhileUpAsync(probed, backend, stoppingToken);
            if (!backend.Health.IsUp)
            {
                await Task.Delay(WithJitter(probed.Options.DownInterval), time, stoppingToken);
            }
        }
    }

    // The long sleep ends early when a request finds the backend down.
    private async Task SleepWhileUpAsync(ProbedPool probed, Backend backend, CancellationToken stoppingToken)
    {
        var down = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void OnFlip(BackendPool pool, Backend flipped)
        {
            if (flipped == backend && !backend.Health.IsUp)
            {
                down.TrySetResult();
            }
        }
        probed.Pool.HealthFlipped += OnFlip;
        if (backend.Health.IsUp)
        {
            await down.Task.WaitAsync(WithJitter(probed.Options.Interval), time, stoppingToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        probed.Pool.HealthFlipped -= OnFlip;
        stoppingToken.ThrowIfCancellationRequested();
    }

    private TimeSpan WithJitter(TimeSpan interval) => interval * (1 - 0.1 * random.NextDouble());
}
