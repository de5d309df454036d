using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Net;

/// <summary>
/// IPv4 addresses that are written as IPv6 ones: <c>::ffff:a.b.c.d</c> (RFC 4291 section 2.5.5.2). A socket for both families names its
/// IPv4 peers so.
/// </summary>
internal static class MappedAddress
{
    /// <summary>An IPv4 address in its own form; any other address as it is.</summary>
    public static IPAddress Unmap(this IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    /// <summary>Whether it is an IPv4 address, in either form.</summary>
    public static bool IsIPv4(this IPAddress address) => address.AddressFamily == AddressFamily.InterNetwork || address.IsIPv4MappedToIPv6;
}
