using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace LoadBalancer.Transport;

/// <summary>
/// Keeps some files free: a request needs one for its backend, and the runtime fails if it cannot open one, for instance to load
/// code. The last files for clients are shared among all ports that accept connections: a flood of one port leaves the others their
/// share. The system hands out the lowest free number, so a high number means that few are left.
/// </summary>
[SupportedOSPlatform("linux")]
internal static class FileReserve
{
    // The runtime and the code alone need about 180.
    private const int LeastLimit = 256;

    private static readonly int Limit = Libc.RaiseFileLimit();
    private static int _ports;

    /// <summary>Files with this number or a higher one are for ports that have less than their share. See <see cref="MayTake"/>.</summary>
    public static readonly int SharedFrom = ClientsEnd(Limit) - SharedFiles(Limit);

    /// <summary>Files with this number or a higher one are not used for backends.</summary>
    public static readonly int BackendsEnd = Limit - 32;

    /// <summary>That a process may have too few open files for a node, in words; null where they are enough.</summary>
    public static string? FindError() =>
        Limit >= LeastLimit ? null
        : $"this process may have {Limit} open files; expected {LeastLimit} or more (ulimit -n, or LimitNOFILE= in a systemd unit)";

    /// <summary>A port begins to accept.</summary>
    public static void Enter() => Interlocked.Increment(ref _ports);

    /// <summary>A port does not accept any more.</summary>
    public static void Leave() => Interlocked.Decrement(ref _ports);

    /// <summary>Whether a port may accept another connection.</summary>
    /// <param name="any">Any open file, which is duplicated for a moment, to learn the next file's number.</param>
    /// <param name="open">How many connections the port has.</param>
    public static bool MayAccept(SafeHandle any, int open)
    {
        var next = Libc.Control(any, Libc.Duplicate, 0);
        _ = Libc.Close(next);
        return next >= 0 && MayTake(next, open, Volatile.Read(ref _ports), Limit);
    }

    /// <summary>Whether a port may take a file for a client.</summary>
    /// <param name="file">The file's number.</param>
    /// <param name="open">How many connections the port has.</param>
    /// <param name="ports">How many ports there are.</param>
    /// <param name="limit">How many files may be open.</param>
    internal static bool MayTake(int file, int open, int ports, int limit) =>
        file < ClientsEnd(limit) - SharedFiles(limit)
        || file < ClientsEnd(limit) && open < Math.Max(1, SharedFiles(limit) / Math.Max(1, ports));

    // Beyond them there is room for backends, code and the like.
    private static int ClientsEnd(int limit) => limit - SharedFiles(limit);

    private static int SharedFiles(int limit) => Math.Max(64, limit / 8);
}
