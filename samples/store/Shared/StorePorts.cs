namespace Store;

/// <summary>The ports of a broker, as the protocol has them.</summary>
/// <param name="offset">What is added to each of them.</param>
internal sealed class StorePorts(int offset = 0)
{
    /// <summary>Clients' requests.</summary>
    public int Clients => 5550 + offset;

    /// <summary>Workers.</summary>
    public int Workers => 5560 + offset;

    /// <summary>HCHECK.</summary>
    public int HealthCheck => 5570 + offset;

    /// <summary>Where clients hear from the workers that have their requests.</summary>
    public int WorkerCheckClients => 5572 + offset;

    /// <summary>Where workers say that they are at work.</summary>
    public int WorkerCheckWorkers => 5573 + offset;
}
