using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Tests.Net;

/// <summary>IPv4 addresses that are written as IPv6 ones.</summary>
internal sealed class MappedAddressTests
{
    [TestCase("::ffff:192.0.2.1", "192.0.2.1", true)]
    [TestCase("192.0.2.1", "192.0.2.1", true)]
    [TestCase("2001:db8::1", "2001:db8::1", false)]
    [TestCase("::192.0.2.1", "::192.0.2.1", false)]
    [TestCase("::", "::", false)]
    public void Unmap_Address_IsIPv4WhereItIsMapped(string address, string expected, bool isIPv4)
    {
        IPAddress.Parse(address).Unmap().Should().Be(IPAddress.Parse(expected));
        IPAddress.Parse(address).IsIPv4().Should().Be(isIPv4);
    }
}
