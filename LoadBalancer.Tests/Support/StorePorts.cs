using System.Net;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Support;

/// <summary>The ports of two brokers, which are the same at 127.0.0.1 and at 127.0.0.2.</summary>
internal static class StorePorts
{
    private static readonly int[] Usual = [5550, 5560, 5570, 5571, 5572, 5573];

    private static readonly string[] Hosts = ["127.0.0.1", "127.0.0.2"];

    /// <summary>What to add to the usual ports for ones that are free, below those that the system gives away by itself.</summary>
    public static int FreeOffset()
    {
        var offset = 2000 + Environment.ProcessId % 200 * 100; // Of two test runs each has its own.
        while (!Usual.All(port => Hosts.All(host => IsFree(host, port + offset))))
        {
            offset = 2000 + (offset - 1900) % 22000;
        }
        return offset;
    }

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

    private static bool IsFree(string host, int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Parse(host), port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
