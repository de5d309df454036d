using System.Runtime.Versioning;

namespace LoadBalancer.Transport;

/// <summary>
/// Gives back to the system what parked connections and full buffers have freed. The collector would not: it works when memory is asked
/// for, and nothing asks for any while connections are idle. Only a blocking collection gives memory back to the system, and it stops every
/// thread, so it runs only after no event loop has had an event for some seconds: there is nothing to stop then. If events never stop, the
/// collections that they cause free the memory for use within the process.
/// </summary>
/// <param name="rounds">How many rounds with events all event loops have had.</param>
/// <param name="collect">Collects, and gives memory back to the system.</param>
internal sealed class FreedMemory(Func<long> rounds, Action collect)
{
    /// <summary>How many bytes a parked connection leaves.</summary>
    public const int OfParkedConnection = 10_000;

    private const long Much = 10_000_000; // in bytes; for fewer it is not worth a collection

    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new(); // inside, only the counters of the loops are read
    private long _freed;
    private long _rounds;
    private long _quietSince;

    /// <summary>The one of the process.</summary>
    [SupportedOSPlatform("linux")]
    public static FreedMemory OfProcess { get; } = new(
        () => EventLoop.Rounds, () => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true));

    /// <summary>Counts bytes that were freed. Must be called again about once a second, with 0 if there are no more.</summary>
    /// <returns>Whether much waits for a quiet moment: call again.</returns>
    public bool Count(long freed, TimeProvider time)
    {
        lock (_gate)
        {
            var (seen, now) = (rounds(), time.GetTimestamp());
            _freed += freed;
            if (freed > 0 || seen != _rounds)
            {
                (_rounds, _quietSince) = (seen, now);
            }
            if (_freed < Much || time.GetElapsedTime(_quietSince, now) < Quiet)
            {
                return _freed >= Much;
            }
            _freed = 0;
        }
        collect();
        return false;
    }
}
