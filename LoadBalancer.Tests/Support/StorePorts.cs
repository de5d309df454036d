using System.Text.Json;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Support;

/// <summary>The ports of brokers: as far from each other as the usual ones, for two at 127.0.0.1 and 127.0.0.2, or six in a row.</summary>
internal static class StorePorts
{
    private const int First = 5550;
    private const int Last = 5573;

    /// <summary>What to add to the usual ports for reserved ones.</summary>
    public static int NextOffset() => ReservedPorts.Next(Last - First + 1) - First;

    /// <summary>The usual ports, moved by an offset.</summary>
    public static BrokerPorts At(int offset) => new()
    {
        Clients = 5550 + offset,
        Workers = 5560 + offset,
        HealthCheck = 5570 + offset,
        AlternativePing = 5571 + offset,
        WorkerCheckClients = 5572 + offset,
        WorkerCheckWorkers = 5573 + offset,
    };

    /// <summary>Six in a row.</summary>
    public static BrokerPorts From(int first) => new()
    {
        Clients = first,
        Workers = first + 1,
        HealthCheck = first + 2,
        AlternativePing = first + 3,
        WorkerCheckClients = first + 4,
        WorkerCheckWorkers = first + 5,
    };

    /// <summary>The same as a value of <c>Ports</c>.</summary>
    public static string JsonFrom(int first) => JsonSerializer.Serialize(From(first));
}
