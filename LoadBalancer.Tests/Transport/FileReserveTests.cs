using System.Runtime.Versioning;
using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

/// <summary>How the last files are shared among the ports.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
internal sealed class FileReserveTests
{
    // Of 1024 files 128 are kept for backends and the like, and the 128 before them are shared.
    [TestCase(0, 5000, 8, 1024, true)]
    [TestCase(767, 5000, 8, 1024, true)]
    [TestCase(768, 16, 8, 1024, false)] // It has its share of 128 / 8 already.
    [TestCase(768, 15, 8, 1024, true)]
    [TestCase(895, 15, 8, 1024, true)]
    [TestCase(896, 0, 8, 1024, false)]
    [TestCase(768, 127, 1, 1024, true)] // The only port has it all.
    [TestCase(768, 127, 0, 1024, true)]
    [TestCase(172, 5, 12, 300, false)] // of 64
    [TestCase(172, 4, 12, 300, true)]
    [TestCase(172, 0, 100, 300, true)] // At least one each.
    [TestCase(236, 0, 12, 300, false)]
    public void MayTake_NearTheLimit_OnlyWhoHasLessThanItsShare(int file, int open, int ports, int limit, bool expected) =>
        FileReserve.MayTake(file, open, ports, limit).Should().Be(expected);

    [TestCase(300, 12)]
    [TestCase(1024, 12)]
    [TestCase(8192, 40)]
    public void MayTake_OnePortFloods_EachOtherHasItsShare(int limit, int ports)
    {
        const int Others = 150; // code, and the like
        var open = new int[ports];
        int Next() => Others + open.Sum();
        bool TryTake(int port) => FileReserve.MayTake(Next(), open[port], ports, limit) && ++open[port] > 0;
        while (TryTake(0))
        {
        }

        foreach (var port in Enumerable.Range(1, ports - 1))
        {
            while (TryTake(port))
            {
            }
        }

        open[1..].Should().OnlyContain(count => count >= Math.Max(64, limit / 8) / ports);
        Next().Should().BeLessThan(limit - 63);
    }
}
