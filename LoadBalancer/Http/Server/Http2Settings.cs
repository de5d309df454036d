using System.IO.Pipelines;
using System.Net.Security;
using System.Reflection;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
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

    /// <summary>
    /// Makes Kestrel handle the streams of HTTP/2 on the thread that read them, as it does with requests of HTTP/1.1, instead of queueing
    /// each to the thread pool: a tenth of the CPU for a small request. Nothing in a pipeline blocks. Kestrel has this choice, but
    /// no option for it.
    /// </summary>
    /// <returns>False where this version of Kestrel does not have it; then it is slower, and otherwise the same.</returns>
    public static bool TryRunInline(IServer kestrel)
    {
        const BindingFlags Any = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;
        var service = kestrel.GetType().GetProperty("ServiceContext", Any)?.GetValue(kestrel);
        if (service?.GetType().GetProperty("Scheduler", Any) is not { CanWrite: true } scheduler
            || scheduler.PropertyType != typeof(PipeScheduler))
        {
            return false;
        }
        scheduler.SetValue(service, PipeScheduler.Inline);
        return true;
    }
}
