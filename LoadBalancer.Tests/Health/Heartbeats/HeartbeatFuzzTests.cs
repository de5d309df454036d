using System.Text;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Heartbeats;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Health.Heartbeats;

/// <summary>A million datagrams that no real backend would send. They are seeded, so that a failure can be reproduced.</summary>
internal sealed class HeartbeatFuzzTests
{
    private const int Seed = 20261127;

    private static readonly byte[][] Valid =
    [
        .. new[] { "OK", "OK load=35", "127.0.0.1:7000 127.0.0.1:7001", "[::1]:7000 [fe80::1%3]:7001", "0.0.0.0:7000 0.0.0.0:7001\n\0",
            "OK t=1735689600000 mac=" + new string('a', 64) }.Select(Encoding.UTF8.GetBytes),
    ];

    [Test]
    public void TakeIn_MillionDatagrams_NeverThrowsAndCountsEachOnce([Values] bool isSigned)
    {
        var clock = new FakeTimeProvider();
        var backend = new Backend(
            "a", TestNode.Parse("tcp://127.0.0.1:7000"), new BackendHealth(new HealthRules { Heartbeats = true }, clock));
        var pool = new BackendPool("logic", new RoundRobinPolicy(), [backend]);
        using var monitor = new HeartbeatMonitor(pool, clock, NullLogger.Instance);
        monitor.Apply(
            new HeartbeatOptions { Key = isSigned ? Convert.ToBase64String(new byte[32]) : null },
            new Dictionary<string, BackendOptions>
            {
                ["a"] = new()
                {
                    Address = backend.Address,
                    HeartbeatAddress = TestNode.Parse("udp://127.0.0.1:7001")
                }
            });
        var signature = new HeartbeatSignature(new byte[32], clock);
        var random = new Random(Seed);
        var buffer = new byte[700];

        for (var i = 0; i < 500_000; i++)
        {
            var length = i % 2 == 0 ? Random() : Mutated();
            monitor.TakeIn(buffer.AsSpan(0, length), new IpPort((UInt128)random.NextInt64(), (ushort)random.Next(65536)));
        }

        monitor.Statistics.Counts.Sum(entry => entry.Count).Should().Be(500_000);
        monitor.Statistics[HeartbeatResult.TooLong].Should().BePositive();
        monitor.Statistics[isSigned ? HeartbeatResult.BadMac : HeartbeatResult.Malformed].Should().BePositive();

        int Random()
        {
            var length = random.Next(buffer.Length);
            random.NextBytes(buffer.AsSpan(0, length));
            return length;
        }

        // One of those that are valid, here and there another byte, cut or grown.
        int Mutated()
        {
            var valid = Valid[random.Next(Valid.Length)];
            valid.CopyTo(buffer, 0);
            var length = isSigned && random.Next(4) == 0 ? signature.Sign(valid, buffer, out _) : valid.Length;
            for (var changes = random.Next(4); changes > 0; changes--)
            {
                buffer[random.Next(length + 1)] = random.Next(2) == 0 ? (byte)random.Next(256) : " :.[]%=OKt0189\0\n"u8[random.Next(16)];
            }
            return Math.Clamp(length + random.Next(-3, 4), 0, buffer.Length);
        }
    }

    [Test]
    public void TakeIn_Steadily_AllocatesNothing()
    {
        var clock = new FakeTimeProvider();
        var backend = new Backend(
            "a", TestNode.Parse("tcp://127.0.0.1:7000"), new BackendHealth(new HealthRules { Heartbeats = true }, clock));
        using var monitor = new HeartbeatMonitor(new BackendPool("logic", new RoundRobinPolicy(), [backend]), clock, NullLogger.Instance);
        monitor.Apply(new HeartbeatOptions(),
            new Dictionary<string, BackendOptions>
            {
                ["a"] = new()
                {
                    Address = backend.Address,
                    HeartbeatAddress = TestNode.Parse("udp://127.0.0.1:7001")
                }
            });
        var local = new IpPort(IpPort.Of(System.Net.IPAddress.Loopback), 7001);
        void TakeAll()
        {
            monitor.TakeIn("OK load=10"u8, local);
            monitor.TakeIn("OK"u8, local with { Port = 7002 });
            monitor.TakeIn("127.0.0.1:7000 127.0.0.1:7001"u8, local);
            monitor.TakeIn("127.0.0.1:7000 127.0.0.1:7002"u8, local);
            monitor.TakeIn("nonsense"u8, local);
        }
        TakeAll();

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            TakeAll();
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).Should().BeLessThan(10_000);
    }
}
