using System.Net.Sockets;
using LoadBalancer.Broker;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Systemd;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>How the process of a node was started, beside its configuration. By default nothing is known about that.</summary>
internal sealed record NodeStart
{
    /// <summary>How the program was started, to start it anew; null: it cannot be.</summary>
    public StartCommand? Command { get; init; }

    /// <summary>Sockets that are bound already: those of the process that this one replaces, or of the service manager.</summary>
    public IReadOnlyList<Socket> Sockets { get; init; } = [];

    /// <summary>The names that the service manager gave to sockets.</summary>
    public IReadOnlyDictionary<Socket, string> Names { get; init; } = new Dictionary<Socket, string>();

    /// <summary>What the process that this one replaces knew; null where it replaces none.</summary>
    public HandedState? State { get; init; }

    /// <summary>
    /// Whether the service manager keeps sockets open when this process ends: connections wait there for the next one.
    /// </summary>
    public bool AreSocketsKept => Names.Count > 0 || State?.AreSocketsKept == true;

    /// <summary>Completes when that process accepts nothing more; null where this one replaces none.</summary>
    public Lazy<Task>? PredecessorLeaves { get; init; }

    /// <summary>
    /// What that process knew, where it was the same node of the same cluster; otherwise null, because its leases, and what operators have
    /// set, are another cluster's.
    /// </summary>
    public HandedState? StateOf(ClusterOptions cluster) =>
        State?.Cluster?.IsOf(cluster.Name, cluster.NodeName) == true ? State : null;

    /// <summary>What that process knew about a pool; null where that is nothing.</summary>
    public HandedPool? FindPool(string name) =>
        State?.Pools?.FirstOrDefault(pool => name.Equals(pool.Name, StringComparison.OrdinalIgnoreCase));

    /// <summary>How the broker of a listener begins; null where it begins as any other.</summary>
    public BrokerStart? FindBroker(string listener)
    {
        if (PredecessorLeaves is not { } leaves)
        {
            return null;
        }
        var text = State?.Brokers?.GetValueOrDefault(listener);
        return new BrokerStart(Enum.TryParse<BrokerState>(text, out var state) && Enum.IsDefined(state) ? state : null, leaves);
    }

    /// <summary>Finds out.</summary>
    /// <param name="command">How the program was started.</param>
    /// <param name="predecessor">The process that this one replaces; null where it replaces none.</param>
    /// <exception cref="Diagnostics.StartException">That process is gone.</exception>
    public static async Task<NodeStart> FindAsync(StartCommand command, Predecessor? predecessor)
    {
        if (!OperatingSystem.IsLinux())
        {
            return new NodeStart { Command = command };
        }
        var passed = PassedSockets.Take();
        if (predecessor is null)
        {
            return new NodeStart
            {
                Command = command,
                Sockets = [.. passed.Select(one => one.Socket)],
                Names = passed.ToDictionary(one => one.Socket, one => one.Name),
            };
        }
        var (sockets, state) = await predecessor.TakeAsync();
        var leaves = () => predecessor.WaitUntilItLeavesAsync(CancellationToken.None);
        return new NodeStart
        {
            Command = command,
            Sockets = sockets,
            State = state,
            PredecessorLeaves = new Lazy<Task>(leaves),
        };
    }
}
