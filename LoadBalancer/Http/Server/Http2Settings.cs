using System.Net.Security;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace LoadBalancer.Http.Server;

/// <summary>Which connections speak HTTP/2.</summary>
internal static class Http2Settings
{
    /// <summary>Whether a connection speaks HTTP/2: it has negotiated that or begun so, or the listener speaks nothing else.</summary>
    public static bool IsHttp2(ConnectionContext connection, HttpProtocols listener) => listener == HttpProtocols.Http2
        || connection.Features.Get<ITlsApplicationProtocolFeature>()?.ApplicationProtocol.Span
            .SequenceEqual(SslApplicationProtocol.Http2.Protocol.Span) == true;
}
