using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Support;

/// <summary>The ports of brokers, which are the same at 127.0.0.1 and at 127.0.0.2.</summary>
internal static class StorePorts
{
    private const int First = 5550;
    private const int Last = 5573;

    /// <summary>What to add to the usual ports for reserved ones.</summary>
    public static int NextOffset() => ReservedPorts.Next(Last - First + 1) - First;

    /// <summary>The ports.</summary>
    public static BrokerPorts At(int offset) => new()
    {
        Clients = 5550 + offset,
        Workers = 5560 + offset,
        HealthCheck = 5570 + offset,
        AlternativePing = 5571 + offset,
        WorkerCheckClients = 5572 + offset,
        WorkerCheckWorkers = 5573 + offset,
    };
}
