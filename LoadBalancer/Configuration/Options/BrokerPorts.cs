namespace LoadBalancer.Configuration.Options;

/// <summary>The ports of a broker, all at the same address; 0 is any free port.</summary>
public sealed record BrokerPorts
{
    /// <summary>Clients' requests: a ROUTER socket. Default 5550.</summary>
    public int Clients { get; init; } = 5550;

    /// <summary>Workers: a socket that sends each worker one request at a time. Default 5560.</summary>
    public int Workers { get; init; } = 5560;

    /// <summary>HCHECK, which says that the broker is there: a PUB socket. Default 5570.</summary>
    public int HealthCheck { get; init; } = 5570;

    /// <summary>ALTPING, which says that an alternative is there: a SUB socket. Default 5571.</summary>
    public int AlternativePing { get; init; } = 5571;

    /// <summary>Where clients hear from the worker that has their request: an XPUB socket. Default 5572.</summary>
    public int WorkerCheckClients { get; init; } = 5572;

    /// <summary>Where workers say that they are at work: an XSUB socket. Default 5573.</summary>
    public int WorkerCheckWorkers { get; init; } = 5573;
}
