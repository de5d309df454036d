using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks what only a Broker listener has.</summary>
internal static class BrokerListenerValidator
{
    private const long LeastBufferedBytes = 16 * 1024 * 1024; // the most that waits for one peer

    /// <summary>Requires all that must hold for it.</summary>
    public static void Check(
        string user, BrokerListenerOptions listener, AddressValidator addresses, SectionValidator section, bool isInCluster)
    {
        section.Require(listener.Address is not null, "Address", "is missing; expected for example tcp://127.0.0.1");
        if (listener.Address is { } address)
        {
            section.Require(address is { Scheme: "tcp", Port: EndpointAddress.NoPort } and not { Host: "localhost" }, "Address",
                $"'{address}' does not fit a Broker listener; expected tcp:// and an IP address without a port, for that stands in Ports");
            AddressValidator.CheckHost(section, "Address", address);
            CheckPorts(listener.Ports, user, address, addresses, section);
        }
        section.RequireAtLeast(1, listener.QueueLimit, "QueueLimit");
        section.RequireAtLeast(LeastBufferedBytes, listener.MaxBufferedBytes, "MaxBufferedBytes");
        section.RequireDuration(listener.PublishInterval, "PublishInterval");
        section.RequireDuration(listener.PeerTimeout, "PeerTimeout");
        section.Require(listener.PeerTimeout > listener.PublishInterval, "PeerTimeout",
            $"'{listener.PeerTimeout}' is not above PublishInterval ('{listener.PublishInterval}'), so everybody would be taken for gone; "
            + "expected some times as much");
        if (isInCluster)
        {
            WarnOfUnused(listener, section);
        }
        else
        {
            CheckOtherNode(listener, section);
        }
        section.Require(listener.AdvertisedAddress is not null || listener.Address?.IsAny != true, "AdvertisedAddress",
            $"is missing; others cannot be told to find this node at {listener.Address?.Host}");
    }

    private static void WarnOfUnused(BrokerListenerOptions listener, SectionValidator section)
    {
        var plain = new BrokerListenerOptions();
        (string Key, bool IsSet)[] settings =
        [
            (nameof(listener.Role), listener.Role != plain.Role),
            (nameof(listener.MainAddress), listener.MainAddress is not null),
            (nameof(listener.AlternativeAddress), listener.AlternativeAddress is not null),
            (nameof(listener.PeerTimeout), listener.PeerTimeout != plain.PeerTimeout),
        ];
        foreach (var (key, _) in settings.Where(setting => setting.IsSet))
        {
            section.Warn(key, "is not used: in a cluster its lease decides which node is the main (LoadBalancer:Cluster:LeaseTime)");
        }
    }

    private static void CheckPorts(
        BrokerPorts ports, string user, EndpointAddress address, AddressValidator addresses, SectionValidator section)
    {
        foreach (var (key, port) in new[]
                 {
                     (nameof(ports.Clients), ports.Clients), (nameof(ports.Workers), ports.Workers),
                     (nameof(ports.HealthCheck), ports.HealthCheck), (nameof(ports.AlternativePing), ports.AlternativePing),
                     (nameof(ports.WorkerCheckClients), ports.WorkerCheckClients),
                     (nameof(ports.WorkerCheckWorkers), ports.WorkerCheckWorkers),
                 })
        {
            section.Require(port is >= 0 and <= 65535, $"Ports:{key}", $"'{port}' is out of range; expected 0 to 65535");
            addresses.Take(section, $"Ports:{key}", user, address with { Port = port });
        }
    }

    private static void CheckOtherNode(BrokerListenerOptions listener, SectionValidator section)
    {
        var isAlternative = listener.Role == BrokerRole.Alternative;
        section.Require(!isAlternative || listener.MainAddress is not null, "MainAddress",
            "is missing; an alternative needs the IP address of its main");
        section.Require(isAlternative || listener.MainAddress is null, "MainAddress", "is for an Alternative; this node's Role is Main");
        section.Require(!isAlternative || listener.AlternativeAddress is null, "AlternativeAddress",
            "is for a Main; this node's Role is Alternative");
        var host = listener.Address?.Host;
        foreach (var (key, other) in new[] { ("MainAddress", listener.MainAddress), ("AlternativeAddress", listener.AlternativeAddress) })
        {
            section.Require(other is null || (!other.Equals(listener.AdvertisedAddress) && other.ToString() != host), key,
                $"'{other}' is this node's own address; expected that of the other node");
        }
    }
}
