using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>The management listener.</summary>
public sealed record ManagementOptions
{
    /// <summary>Where it listens: <c>http://127.0.0.1:8081</c>. Required.</summary>
    public EndpointAddress? Address { get; init; }

    /// <summary>What everybody must bring to be let in, as <c>Authorization: Bearer</c>; required on an address that others can reach. Default null: nothing.</summary>
    public string? Token { get; init; }

    /// <summary>Whether only this machine can reach it.</summary>
    internal bool IsLoopback => Address!.Host == "localhost" || IPAddress.TryParse(Address.Host, out var ip) && IPAddress.IsLoopback(ip);
}
