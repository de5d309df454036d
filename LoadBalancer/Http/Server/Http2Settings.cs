using System.Net.Security;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace LoadBalancer.Http.Server;

/// <summary>What Kestrel is told where a listener speaks HTTP/2.</summary>
internal static class Http2Settings
{
    /// <summary>Sets its limits so that it leaves to <see cref="HeadCheck"/> what can be answered.</summary>
    public static void Apply(KestrelServerOptions kestrel)
    {
        // By these Kestrel would reset a stream without a response, or end a connection with all its streams. HeadCheck responds with 431,
        // 414 and 400. The limit of all fields together, 32 KB, stays Kestrel's: beyond it the response is 431.
        var limits = kestrel.Limits;
        kestrel.AllowAlternateSchemes = true;
        limits.MaxRequestHeaderCount = limits.MaxRequestHeadersTotalSize; // so many fields have no room
        limits.MaxRequestLineSize = 2 * limits.MaxRequestHeadersTotalSize;
        limits.Http2.MaxRequestHeaderFieldSize = 2 * limits.MaxRequestHeadersTotalSize;
    }

    /// <summary>Whether a connection speaks HTTP/2: it has negotiated that, or the listener speaks nothing else.</summary>
    public static bool IsHttp2(ConnectionContext connection, HttpProtocols listener) => listener == HttpProtocols.Http2
        || connection.Features.Get<ISslStreamFeature>()?.SslStream.NegotiatedApplicationProtocol == SslApplicationProtocol.Http2;
}
