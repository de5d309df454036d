using System.Collections.Concurrent;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Probes;

/// <summary>A pool whose backends are probed.</summary>
public sealed record ProbedPool(BackendPool Pool, HealthCheckOptions Options, IProbe Probe);

/// <summary>
/// Probes the backends of each pool: all at once at the start, then a healthy one every <see cref="HealthCheckOptions.Interval"/> and
/// an unhealthy one every <see cref="HealthCheckOptions.DownInterval"/>, each up to 10 % early at random, so that load balancers
/// that were started together do not probe together. The second probes of backends that joined together are spread over the first interval,
/// so that from then on probes are even. The long interval ends early when a request finds the backend down, or when the backend is
/// suspected to be down: then the next probe follows at once, but never sooner than DownInterval after the last one. Backends that join are
/// probed from then on, backends that leave no longer.
/// </summary>
public sealed partial class HealthChecker(TimeProvider time, Random random, ILogger<HealthChecker> logger) : BackgroundService
{
    // First probes under way at the same time: thousands at once would need as many files, and make each other late.
    private const int MaxFirstProbes = 256;

    // A first probe that has no answer by then lets the next one begin: servers that do not answer must not hold up the others for long.
    private static readonly TimeSpan FirstProbeTurn = TimeSpan.FromMilliseconds(250);

    // With thousands of backends it costs half as much to wake up ten times a second for several probes each.
    private static readonly TimeSpan Grid = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<Backend, Polling> _pollings = []; // written under the lock only
    private readonly SemaphoreSlim _firstProbes = new(MaxFirstProbes);
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
                gone.Pool.HealthFlipped -= OnFlipped;
            }
            foreach (var watched in pools)
            {
                watched.Pool.MembersChanged += OnMembersChanged;
                watched.Pool.HealthFlipped += OnFlipped;
            }
            _pools = pools;
            UpdatePollingNeedsLock();
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _firstProbes.Dispose();
        base.Dispose();
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
                polling.Stop();
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

    private void OnFlipped(BackendPool pool, Backend backend)
    {
        if (!backend.Health.IsUp && _pollings.TryGetValue(backend, out var polling))
        {
            polling.Suspect();
        }
    }

    private void UpdatePollingNeedsLock()
    {
        if (_stopping is not { IsCancellationRequested: false })
        {
            return;
        }
        var wanted = _pools.SelectMany(probed => probed.Pool.Snapshot.Members.Select(backend => (backend, probed))).ToDictionary();
        foreach (var (backend, polling) in _pollings.Where(polling => wanted.GetValueOrDefault(polling.Key) != polling.Value.Pool))
        {
            _pollings.TryRemove(backend, out _);
            polling.Stop();
        }
        var joining = wanted.Where(entry => !_pollings.ContainsKey(entry.Key)).ToList();
        foreach (var (i, (backend, probed)) in joining.Index())
        {
            var polling = _pollings[backend] = new Polling(backend, probed, place: (i + 1.0) / joining.Count);
            BackgroundTask.Run(PollAsync(polling), logger, $"pool '{probed.Pool.Name}': probing backend '{backend.Name}'");
        }
    }

    private async Task PollAsync(Polling polling)
    {
        try
        {
            var result = ProbeFirstAsync(polling);
            for (var part = polling.Place; ; part = 1)
            {
                var probedAt = time.GetTimestamp();
                if (await result is { } found && !polling.Stopping.IsCancellationRequested)
                {
                    Observe(polling.Pool.Pool, polling.Backend, found);
                }

                if (await IsSuspectWithinAsync(polling, OnGrid(WithJitter(polling.Pool.Options.Interval * part))))
                {
                    var left = WithJitter(polling.Pool.Options.DownInterval * part) - time.GetElapsedTime(probedAt);
                    await Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero, time, polling.Stopping);
                }
                result = polling.Pool.Probe.ProbeAsync(polling.Backend, polling.Stopping);
            }
        }
        catch (OperationCanceledException) when (polling.Stopping.IsCancellationRequested)
        {
            // The load balancer stops, or the backend has left the pool.
        }
        finally
        {
            polling.Dispose();
        }
    }

    private async Task<ProbeResult?> ProbeFirstAsync(Polling polling)
    {
        await _firstProbes.WaitAsync(polling.Stopping);
        Task<ProbeResult?> probing;
        try
        {
            probing = polling.Pool.Probe.ProbeAsync(polling.Backend, polling.Stopping);
            await ((Task)probing).WaitAsync(FirstProbeTurn, time, polling.Stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        finally
        {
            _firstProbes.Release();
        }
        return await probing;
    }

    private void Observe(BackendPool pool, Backend backend, ProbeResult result)
    {
        var (before, agent) = (backend.Agent, result.Agent ?? AgentReport.None);
        if (agent != before)
        {
            pool.Change(() => backend.Agent = agent);
        }
        if (agent.State != before.State)
        {
            LogAgent(pool.Name, backend.Name, agent.State, result.Reason);
        }
        pool.ObserveProbe(backend, result.Succeeded, result.Reason, result.IsCertain);
    }

    // Waits for the interval, but no longer than the backend is up and nothing is suspected.
    private async Task<bool> IsSuspectWithinAsync(Polling polling, TimeSpan interval)
    {
        var suspected = polling.Await();
        if (polling.Backend.Health.IsUp)
        {
            await suspected.WaitAsync(interval, time, polling.Stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        polling.Stopping.ThrowIfCancellationRequested();
        return suspected.IsCompleted || !polling.Backend.Health.IsUp;
    }

    private TimeSpan WithJitter(TimeSpan interval) => interval * (1 - 0.1 * random.NextDouble());

    // A little sooner, so that it ends together with others; where the interval is long enough for that not to matter.
    private TimeSpan OnGrid(TimeSpan wait)
    {
        var early = (time.GetElapsedTime(0, time.GetTimestamp()) + wait).Ticks % Grid.Ticks;
        return wait > 100 * Grid ? wait - TimeSpan.FromTicks(early) : wait;
    }

    [LoggerMessage(200, LogLevel.Information, "pool '{Pool}': backend '{Backend}' is to be {State} in the view of its agent: {Reason}")]
    private partial void LogAgent(string pool, string backend, AdminState state, string reason);

    /// <summary>A backend that is probed.</summary>
    private sealed class Polling : IDisposable
    {
        private readonly CancellationTokenSource _stop = new(); // needs no Dispose: it has no timer and no linked token
        private volatile TaskCompletionSource _suspected = new();

        /// <summary>Makes it.</summary>
        /// <param name="backend">The backend.</param>
        /// <param name="pool">Its pool.</param>
        /// <param name="place">When its second probe comes, as a part of the interval.</param>
        public Polling(Backend backend, ProbedPool pool, double place)
        {
            (Backend, Pool, Place) = (backend, pool, place);
            backend.Suspected += Suspect;
        }

        public Backend Backend { get; }

        public ProbedPool Pool { get; }

        public double Place { get; }

        /// <summary>Cancelled when it is probed no longer.</summary>
        public CancellationToken Stopping => _stop.Token;

        /// <summary>Forgets what was suspected, and says when something is.</summary>
        public Task Await() => (_suspected = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

        public void Suspect() => _suspected.TrySetResult();

        public void Stop() => _stop.Cancel();

        public void Dispose() => Backend.Suspected -= Suspect;
    }
}
