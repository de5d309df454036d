using LoadBalancer.Acme;
using LoadBalancer.Broker;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration;
using LoadBalancer.Diagnostics;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Management;
using LoadBalancer.Systemd;
using LoadBalancer.Transport;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// Takes over from the process that this one replaces, hands over to the one that replaces it, and keeps the service manager informed.
/// The last part of a node to be started.
/// </summary>
internal sealed partial class NodeHandover(
    NodeStart start, ListenSockets sockets, NodePools pools, NodeListeners listeners, NodeManagement management,
    HeartbeatService heartbeats, AcmeKeeper acme, ClusterNode? cluster, NodeSharing? sharing, NodeMains? mains, EventHub events,
    AuditLog audit, OptionsInUse options, ConfigurationReloader? reloader, Upgrader? upgrader, ServiceManager systemd,
    ILogger<NodeHandover> logger) : IHostedService
{
    /// <summary>What comes before anything is accepted in place of another process.</summary>
    public IHostedService Settling { get; } = new StartStep(async cancelled =>
    {
        // What cannot be had is known before the first connection is accepted.
        listeners.ReserveAll(later: start.State?.Brokers?.Keys.ToList() ?? []);
        await Task.WhenAll(pools.All.Select(pool => pool.Settled)).WaitAsync(cancelled);
    });

    /// <summary>What the process that replaces this one gets.</summary>
    public HandoverOffer Offer()
    {
        var handed = pools.HandOver();
        options.HandOver(handed);
        return new(sockets.All, new HandedState
        {
            Pools = handed,
            Events = events.Log(),
            Audit = audit.HandOver(),
            AreSocketsKept = start.AreSocketsKept,
            SocketFiles = [.. sockets.OwnFiles],
            Challenges = acme.HandOver(),
            Cluster = cluster?.HandOver(),
            Shared = sharing?.HandOver(),
            Mains = mains?.HandOver(),
            MainProcesses = mains?.Processes,
            Brokers = listeners.Listeners.OfType<BrokerListener>().ToDictionary(broker => broker.Name, broker => $"{broker.State}"),
        });
    }

    /// <summary>Whether connections that come after the end of this process wait for the next one.</summary>
    public bool AreSocketsKept => start.AreSocketsKept;

    /// <summary>
    /// Accepts nothing more, and applies no more changes: another process serves, or soon will. What was accepted goes on.
    /// </summary>
    /// <param name="isReplaced">Whether another process serves already, and the files of Unix sockets are its own now.</param>
    public async Task LeaveAsync(bool isReplaced = false)
    {
        if (isReplaced)
        {
            sockets.DisownAll();
            foreach (var broker in listeners.Listeners.OfType<BrokerListener>())
            {
                broker.HandOn();
            }
        }
        await (reloader?.StopAsync(CancellationToken.None) ?? Task.CompletedTask);
        await acme.StopAsync(CancellationToken.None); // The other process orders what is missing.
        foreach (var listener in listeners.Listeners)
        {
            listener.Leave();
        }
        management.Listener?.Leave();
        await (cluster?.LeaveAsync(isReplaced) ?? Task.CompletedTask);
        await (sharing?.StopAsync(CancellationToken.None) ?? Task.CompletedTask); // The copy on disk is the other process's.
        await heartbeats.StopAsync(CancellationToken.None); // Datagrams are for the other process from now on.
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        if (start.PredecessorLeaves is { } leaves)
        {
            LogTookOver(start.Sockets.Count);
            events.Note("this process has taken over from another one");
            BackgroundTask.Run(CloseUnusedAsync(leaves.Value), logger, "closing sockets that are not used any more");
        }
        else
        {
            var used = sockets.All.Select(socket => socket.Socket).ToHashSet();
            foreach (var (socket, name) in start.Names.Where(entry => !used.Contains(entry.Key)))
            {
                LogUnused(name, $"{socket.LocalEndPoint}");
            }
        }
        systemd.Ready();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        if (upgrader?.Replaced.IsCompleted != true)
        {
            systemd.Stopping();
        }
        // Before anything else stops: the other nodes need not wait for what this one still finishes.
        return cluster?.LeaveAsync(isReplaced: false) ?? Task.CompletedTask;
    }

    // Brokers are the last to take their sockets.
    private async Task CloseUnusedAsync(Task predecessorLeaves)
    {
        await predecessorLeaves;
        sockets.Own(start.State?.SocketFiles ?? []);
        await Task.WhenAll(listeners.Listeners.OfType<BrokerListener>().Select(broker => broker.Started));
        sockets.CloseOffered();
    }

    [LoggerMessage(188, LogLevel.Information, "upgrade: took over from another process, with {Count} sockets")]
    private partial void LogTookOver(int count);

    [LoggerMessage(189, LogLevel.Error,
        "the socket '{Name}' at {Address}, which the service manager has passed, is not used: no listener has this address; "
        + "correct one of the two")]
    private partial void LogUnused(string name, string address);
}
