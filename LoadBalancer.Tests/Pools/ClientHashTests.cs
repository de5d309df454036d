using System.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Pools;

internal sealed class ClientHashTests
{
    [Test]
    public void Of_TheSameAddress_IsTheSameInEveryProcess() =>
        ClientHash.Of(IPAddress.Parse("192.0.2.1")).Should().Be(ClientHash.Of(IPAddress.Parse("::ffff:192.0.2.1")))
        .And.Be(1573139605416108570);

    [Test]
    public void Of_NeighbouringAddresses_DifferInHalfOfTheirBits()
    {
        var hashes = Enumerable.Range(0, 256).Select(i => ClientHash.Of(new IPAddress([10, 0, 0, (byte)i]))).ToList();

        hashes.Should().OnlyHaveUniqueItems();
        hashes.Zip(hashes.Skip(1), (a, b) => (double)ulong.PopCount(a ^ b)).Average().Should().BeInRange(30, 34);
    }

    [Test]
    public void Of_NoAddress_IsZero() => ClientHash.Of(null).Should().Be(0);
}
