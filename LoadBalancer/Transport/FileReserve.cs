using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace LoadBalancer.Transport;

/// <summary>
/// Keeps some files free: a request needs one for its backend, and the runtime fails if it cannot open one, for instance to load
/// code. The system hands out the lowest free number, so a high number means that few are left.
/// </summary>
[SupportedOSPlatform("linux")]
internal static class FileReserve
{
    private static readonly int Limit = Libc.FileLimit();

    /// <summary>Files with this number or a higher one are not used for clients.</summary>
    public static readonly int ClientsEnd = Limit - Math.Max(64, Limit / 8);

    /// <summary>Files with this number or a higher one are not used for backends either.</summary>
    public static readonly int BackendsEnd = Limit - 32;

    /// <summary>Whether the next file number is not for clients.</summary>
    /// <param name="any">Any open file, which is duplicated for a moment.</param>
    public static bool IsShort(SafeHandle any)
    {
        var next = Libc.Control(any, Libc.Duplicate, 0);
        _ = Libc.Close(next);
        return next < 0 || next >= ClientsEnd;
    }
}
