using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the options of one backend.</summary>
internal static class BackendValidator
{
    /// <summary>Requires all that must hold for a backend.</summary>
    /// <param name="backend">Its options.</param>
    /// <param name="pool">Those of its pool.</param>
    /// <param name="protocol">What is spoken to it.</param>
    /// <param name="section">Its section.</param>
    public static void Check(BackendOptions backend, PoolOptions pool, ListenerProtocol protocol, SectionValidator section)
    {
        CheckAddress(backend.Address, protocol, section);
        if (backend.Address is { IsUnix: true } unix)
        {
            section.Require(backend.Resolve == ResolveMode.First, "Resolve", $"is of no use for '{unix}', which is no name");
        }
        var isFound = backend.Resolve == ResolveMode.All || backend.Address is { IsService: true };
        section.Require(!isFound || pool.Heartbeat is null, backend.Resolve == ResolveMode.All ? "Resolve" : "Address",
            "leads to any number of backends, in a pool whose backends send heartbeats from an address of their own each; "
            + "expected a pool without Heartbeat");
        section.Require(backend.Weight is >= 0 and <= Backend.MaxWeight, "Weight",
            $"'{backend.Weight}' is out of range; expected 0 to {Backend.MaxWeight}");
        section.RequireAtLeast(1, backend.MaxInFlight?.Count, "MaxInFlight", orElse: "null for no limit");
        section.Require(backend.MaxInFlight != InFlightLimit.Auto || protocol == ListenerProtocol.Http, "MaxInFlight",
            $"Auto is for pools of Http listeners; this one's is {protocol}");
        CheckHeartbeatAddress(backend.HeartbeatAddress, pool, section);
    }

    /// <summary>Requires that no two backends of a pool have the same heartbeat address: each datagram must be of one backend.</summary>
    public static void CheckHeartbeatAddresses(PoolOptions pool, SectionValidator section)
    {
        var first = new Dictionary<IpPort, string>();
        foreach (var (name, backend) in pool.Backends)
        {
            if (backend.HeartbeatAddress is { } address && IpPort.Of(address) is { } source && !first.TryAdd(Key(source), name))
            {
                section.Require(false, $"Backends:{name}:HeartbeatAddress",
                    $"'{address}' is that of backend '{first[Key(source)]}' already");
            }
        }

        // A socket for both families does not tell 0.0.0.0 from ::.
        static IpPort Key(IpPort source) => source.IsAny ? source with { Ip = UInt128.Zero } : source;
    }

    private static void CheckAddress(EndpointAddress? wanted, ListenerProtocol protocol, SectionValidator section)
    {
        var isHttp = protocol == ListenerProtocol.Http;
        section.Require(wanted is not null, "Address",
            $"is missing; expected for example {(isHttp ? "http://127.0.0.1:3000" : "tcp://127.0.0.1:7000")}");
        if (wanted is not { } address)
        {
            return;
        }
        var (listener, schemes) = isHttp ? ("an Http", "http://host:port or https://host:port") : ($"a {protocol}", "tcp://host:port");
        if (address.IsUnix)
        {
            return;
        }
        section.Require(isHttp ? address.ServerScheme is "http" or "https" : address.IsTcp, "Address",
            $"'{address}' does not fit {listener} listener; expected {schemes}");
        section.Require(address.Port != EndpointAddress.NoPort || address.IsService, "Address",
            $"'{address}' has no port; expected {address.Scheme}://host:port");
        section.Require(address.Port != 0, "Address", $"'{address}' has port 0; expected 1 to 65535");
        section.Require(address.Host != "*", "Address", $"'{address}' is no single server; expected a host name or an IP address");
    }

    private static void CheckHeartbeatAddress(EndpointAddress? address, PoolOptions pool, SectionValidator section)
    {
        section.Require(pool.Heartbeat is null || address is not null, "HeartbeatAddress",
            "is missing; expected where its heartbeats come from, for example udp://127.0.0.1:7001");
        section.Require(pool.Heartbeat is not null || address is null, "HeartbeatAddress", "is of no use in a pool without Heartbeat");
        section.Require(address is null || address is { Scheme: "udp", Port: > 0 } && IPAddress.TryParse(address.Host, out _),
            "HeartbeatAddress", $"'{address}' is not where datagrams can come from; expected udp:// with an IP address and a port");
    }
}
