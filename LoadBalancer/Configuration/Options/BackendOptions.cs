using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration.Options;

/// <summary>One server.</summary>
public sealed record BackendOptions
{
    /// <summary>
    /// Where it listens: <c>http://host:port</c> or <c>https://host:port</c>, or <c>tcp://host:port</c> where connections are relayed.
    /// Without a port http has 80 and https 443. <c>srv+http://name</c>, <c>srv+https://name</c> and <c>srv+tcp://name</c> without a port:
    /// the servers that the SRV records of the name tell. Required.
    /// </summary>
    public EndpointAddress Address { get; init; } = null!;

    /// <summary>
    /// What becomes of the addresses of the name in <see cref="Address"/>: First (the default) tries them in turn for each connection; with
    /// All every one is a backend of its own, <c>NAME@ADDRESS:PORT</c>.
    /// </summary>
    public ResolveMode Resolve { get; init; } = ResolveMode.First;

    /// <summary>
    /// Where its heartbeats come from: <c>udp://address:port</c>; 0.0.0.0 is any local address. Required in a pool with
    /// <see cref="PoolOptions.Heartbeat"/>, where it registers by both addresses, and an error elsewhere. Default null.
    /// </summary>
    public EndpointAddress? HeartbeatAddress { get; init; }

    /// <summary>Its share relative to the others, 0..1000; with 0 it gets nothing. Default 1.</summary>
    public int Weight { get; init; } = 1;

    /// <summary>
    /// How many requests it may have at once: a number, or Auto, which finds the limit by its response times, or None. Null (the default):
    /// that of the pool, see <see cref="PoolOptions.MaxInFlight"/>.
    /// </summary>
    public InFlightLimit? MaxInFlight { get; init; }

    /// <summary>
    /// Whether it serves only while no other backend of the pool is eligible (ready, up, with a weight above 0), and those requests that
    /// have failed on all others. Not while the others are merely at their limits. Default false.
    /// </summary>
    public bool Backup { get; init; }

    /// <summary>Whether it is to work: <c>Draining</c> finishes what it has and keeps its sticky clients. Default Ready.</summary>
    public AdminState AdminState { get; init; } = AdminState.Ready;

    /// <summary>How many requests it may have at once in this pool.</summary>
    internal InFlightLimit LimitIn(PoolOptions pool) => MaxInFlight ?? pool.MaxInFlight ?? InFlightLimit.None;

    /// <summary>The name by which it was found, see <see cref="Backend.HostName"/>; null where it was not found.</summary>
    internal string? HostName { get; init; }

    /// <summary>
    /// Its tier among those that are backups or among those that are not: the priority of an SRV record, 0 to 65535. Default 0.
    /// </summary>
    internal int Tier { get; init; }
}
