using LoadBalancer.Acme;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Composition;

/// <content>How other options are applied while it runs.</content>
internal sealed partial class Node
{
    /// <summary>
    /// Applies other options, which must be valid, while clients are served. A request that looks up its pool or its backend meanwhile
    /// finds the old one or the new one, and both can serve it.
    /// </summary>
    /// <exception cref="StartException">They cannot be applied, or the node stops; nothing has changed.</exception>
    public Task ApplyAsync(LoadBalancerOptions options) => _options.ApplyAsync(options);

    private async Task ApplyAsync(LoadBalancerOptions options, bool isReload)
    {
        if (!isReload && !_listeners.Turns.IsCompleted)
        {
            throw new StartException("a listener that was replaced has not ended yet; try again later", new InvalidOperationException());
        }
        await WaitForTurnsAsync();
        if (_started.Cluster is { SecretFile: null } && AcmeKeeper.IsNeeded(options))
        {
            throw new StartException(
                "a listener has Acme, and LoadBalancer:Cluster:SecretFile was not there when this process was started; restart or upgrade "
                + "it, so that the nodes of the cluster share certificates",
                new InvalidOperationException());
        }
        ListenersChange listeners;
        ManagementChange? management;
        lock (Pools.Gate)
        {
            // 1. Make all new parts. Only this step can fail: then they are disposed of, and nothing has changed.
            using var pools = Pools.Prepare(options.Pools, keepsMembers: !isReload);
            listeners = _listeners.Prepare(options, pools);
            try
            {
                management = _management.Prepare(options.Management);
            }
            catch
            {
                _listeners.Discard(listeners);
                throw;
            }

            // 2. Publish new and changed pools, switch the listeners to them, and only then retire unused pools.
            Pools.Commit(pools);
            _listeners.Publish(listeners);
            Pools.Retire(pools);
        }
        HostOptions.ShutdownTimeout = options.ShutdownTimeout;
        if (isReload && !ClusterOptions.AreSame(options.Cluster, _started.Cluster))
        {
            LogClusterStays();
        }
        _tracing.Apply(options.Tracing);
        IncludeMetrics(options);

        // 3. Start new listeners, whose addresses are bound already, and let those that are gone finish.
        if (management is not null)
        {
            await _management.SwitchAsync(management);
        }
        await _listeners.SwitchAsync(listeners);
        _acme.Apply(options);
    }

    // A listener that waits for the end of another one must start before it can change again.
    private async Task WaitForTurnsAsync()
    {
        if (!_listeners.Turns.IsCompleted)
        {
            LogWaiting();
        }
        var stopping = Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        await _listeners.Turns.WaitAsync(stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (stopping.IsCancellationRequested)
        {
            throw new StartException("the load balancer is stopping", new OperationCanceledException(stopping));
        }
    }

    [LoggerMessage(252, LogLevel.Warning,
        "configuration: LoadBalancer:Cluster has changed, which needs a restart or an upgrade; until then the former one holds")]
    private partial void LogClusterStays();

    [LoggerMessage(176, LogLevel.Information,
        "configuration: a change waits until listeners that were removed or replaced have ended")]
    private partial void LogWaiting();
}
