using LoadBalancer.Transport;

namespace LoadBalancer.Cluster;

/// <summary>
/// The clock of leases: its timestamps go on while the machine is suspended, as the lease does in etcd. The framework's stop there. Its
/// timers are the framework's, so they may be late after a suspension: who must know compares timestamps.
/// </summary>
internal sealed class SuspensionClock : TimeProvider
{
    private const long NanosecondsPerSecond = 1_000_000_000;

    private SuspensionClock()
    {
    }

    /// <inheritdoc/>
    public override long TimestampFrequency => NanosecondsPerSecond;

    /// <summary>The clock for leases of a node that has this clock. Timestamps of Windows count suspension by themselves.</summary>
    public static TimeProvider Of(TimeProvider time) => time == System && OperatingSystem.IsLinux() ? new SuspensionClock() : time;

    /// <inheritdoc/>
    public override long GetTimestamp() => Libc.BootTime();
}
