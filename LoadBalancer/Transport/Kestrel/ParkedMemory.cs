using System.Runtime.Versioning;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Gives back the memory of connections that were parked. The collector would not: it works when memory is asked for, and nothing asks
/// for any while connections are idle. Only a blocking collection gives memory back to the system, and it stops every thread, so it runs
/// only after no event loop has had an event for some seconds: there is nothing to stop then. If events never stop, the
/// collections that they cause free the memory for use within the process.
/// </summary>
/// <param name="rounds">How many rounds with events all event loops have had.</param>
/// <param name="collect">Collects, and gives memory back to the system.</param>
internal sealed class ParkedMemory(Func<long> rounds, Action collect)
{
    // Each leaves about 10 KB. For fewer it is not worth a collection.
    private const int Many = 1000;

    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new(); // inside, only the counters of the loops are read
    private int _parked;
    private long _rounds;
    private long _quietSince;

    /// <summary>The one of the process.</summary>
    [SupportedOSPlatform("linux")]
    public static ParkedMemory OfProcess { get; } = new(
        () => EventLoop.Rounds, () => GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true));

    /// <summary>Must be called after each sweep of a listener with the number of connections that it parked.</summary>
    public void Count(int parked, TimeProvider time)
    {
        lock (_gate)
        {
            var (seen, now) = (rounds(), time.GetTimestamp());
            _parked += parked;
            if (parked > 0 || seen != _rounds)
            {
                (_rounds, _quietSince) = (seen, now);
            }
            if (_parked < Many || time.GetElapsedTime(_quietSince, now) < Quiet)
            {
                return;
            }
            _parked = 0;
        }
        collect();
    }
}
