using LoadBalancer.Configuration.Options;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Http.Server;

/// <summary>Sets Kestrel's own limits for the heads of requests. <see cref="HeadCheck"/> enforces what Kestrel cannot.</summary>
internal static class HeadLimits
{
    // Kestrel counts the empty line at the end of a head too.
    private const int LineEnd = 2;

    // Kestrel counts the target, and 32 bytes for each field and each crumb of a cookie.
    private const int MostOfTarget = 16 * 1024;
    private const int OverheadOfField = 64;

    /// <summary>Sets them.</summary>
    /// <param name="limits">Those of Kestrel.</param>
    /// <param name="options">Those of the listener.</param>
    /// <param name="speaksHttp2">Whether it speaks HTTP/2 or HTTP/3.</param>
    public static void Apply(KestrelServerLimits limits, HeaderLimitOptions options, bool speaksHttp2)
    {
        if (!speaksHttp2)
        {
            limits.MaxRequestHeaderCount = options.Count;
            limits.MaxRequestHeadersTotalSize = options.TotalBytes + LineEnd;
            return;
        }
        // By its limits Kestrel would reset a stream without a response, or end a connection with all its streams, and it counts otherwise.
        // HeadCheck responds with 431, 414 and 400. Of what is far beyond, Kestrel keeps its own limit.
        limits.MaxRequestHeadersTotalSize = options.TotalBytes + OverheadOfField * options.Count + MostOfTarget;
        limits.MaxRequestHeaderCount = limits.MaxRequestHeadersTotalSize; // so many fields have no room
        limits.MaxRequestLineSize = 2 * limits.MaxRequestHeadersTotalSize;
        limits.Http2.MaxRequestHeaderFieldSize = 2 * limits.MaxRequestHeadersTotalSize;
    }
}
