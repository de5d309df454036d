using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>What a broker is at the start.</summary>
public enum BrokerRole
{
    /// <summary>It serves.</summary>
    Main,

    /// <summary>It watches a main, and serves when the main is silent.</summary>
    Alternative,
}

/// <summary>A listener that hands ZeroMQ requests to workers that connect.</summary>
public sealed record BrokerListenerOptions() : ListenerOptions(ListenerProtocol.Broker)
{
    /// <summary>Its ports, all at the same address.</summary>
    public BrokerPorts Ports { get; init; } = new();

    /// <summary>Whether a broker serves from the start, or takes over when its main is silent. Default Main.</summary>
    public BrokerRole Role { get; init; } = BrokerRole.Main;

    /// <summary>Where an alternative finds its main; required there, and an error elsewhere.</summary>
    public IPAddress? MainAddress { get; init; }

    /// <summary>The address at which others reach this node. Default null: the host of <see cref="ListenerOptions.Address"/>.</summary>
    public IPAddress? AdvertisedAddress { get; init; }

    /// <summary>
    /// Where a main finds its usual alternative, to ask at the start whether that one serves in its place. Default null: it does not ask.
    /// </summary>
    public IPAddress? AlternativeAddress { get; init; }

    /// <summary>How often a broker publishes that it is there. Default 1 s.</summary>
    public TimeSpan PublishInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a peer may be silent before it counts as gone. Default 5 s.</summary>
    public TimeSpan PeerTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many requests may wait for a worker; a further one is rejected. Default 10,000.</summary>
    public int QueueLimit { get; init; } = 10_000;

    /// <summary>
    /// How many bytes all peers of a port together may have in buffers, because they do not read or because their messages have arrived in
    /// part; beyond that the one with the most is disconnected. Default 256 MiB.
    /// </summary>
    public long MaxBufferedBytes { get; init; } = 256 * 1024 * 1024;

    internal override IEnumerable<EndpointAddress> Addresses =>
    [
        Address with { Port = Ports.Clients },
        Address with { Port = Ports.Workers },
        Address with { Port = Ports.HealthCheck },
        Address with { Port = Ports.AlternativePing },
        Address with { Port = Ports.WorkerCheckClients },
        Address with { Port = Ports.WorkerCheckWorkers },
    ];

    internal override bool HasWorkers => true;

    internal override IEnumerable<EndpointAddress> AddressesToItsEnd => Addresses;

    // Pool is not among them: the workers have joined the pool that the listener began with.
    private protected override IReadOnlyList<string> Reloadable => [nameof(QueueLimit)];
}
