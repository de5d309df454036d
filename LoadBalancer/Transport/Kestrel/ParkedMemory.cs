namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Gives back the memory of connections that were parked. The collector would not: it works when memory is asked for, and nothing asks
/// for any while connections are idle.
/// </summary>
internal static class ParkedMemory
{
    // Each leaves about 10 KB. For fewer it is not worth the pause.
    private const int Many = 1000;

    private static int _parked;

    /// <summary>So many connections were parked in one sweep; where it was none, the wave is over.</summary>
    public static void Count(int parked)
    {
        if (parked > 0)
        {
            Interlocked.Add(ref _parked, parked);
        }
        else if (Volatile.Read(ref _parked) >= Many)
        {
            Volatile.Write(ref _parked, 0);
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        }
    }
}
