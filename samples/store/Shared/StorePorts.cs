namespace Store;

/// <summary>The ports of a load balancer, as the protocol defines them.</summary>
/// <param name="offset">Is added to each of them.</param>
internal sealed class StorePorts(int offset = 0)
{
    /// <summary>Clients send requests here.</summary>
    public int Clients => 5550 + offset;

    /// <summary>Workers receive requests here.</summary>
    public int Workers => 5560 + offset;

    /// <summary>The load balancer publishes HCHECK here.</summary>
    public int HealthCheck => 5570 + offset;

    /// <summary>Clients receive signs of life of the workers that have their requests here.</summary>
    public int WorkerCheckClients => 5572 + offset;

    /// <summary>Workers send these signs of life here.</summary>
    public int WorkerCheckWorkers => 5573 + offset;
}
