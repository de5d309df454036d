using System.Net.Sockets;
using LoadBalancer.Tls;

namespace LoadBalancer.Health.Probes;

/// <summary>
/// The handler below the client of <see cref="HttpProbe"/>: sends each probe over a connection of its own, because a server that accepts
/// no new ones is not healthy, however many old ones it still serves. It holds nothing, so one serves all pools.
/// </summary>
public sealed class ProbeHandler : HttpMessageHandler
{
    /// <summary>Checks the certificate of an https:// backend. Every probe has to have this option.</summary>
    public static readonly HttpRequestOptionsKey<BackendTrust> Trust = new("LoadBalancer.Trust");

    /// <inheritdoc/>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        using var invoker = new HttpMessageInvoker(new SocketsHttpHandler
        {
            ConnectCallback = ConnectAsync,
            PooledConnectionLifetime = TimeSpan.Zero,
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            ActivityHeadersPropagator = null,
        });
        return await invoker.SendAsync(request, cancellationToken); // The connection is closed with the response.
    }

    private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(context.DnsEndPoint, cancellationToken);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
        var request = context.InitialRequestMessage;
        if (request.RequestUri!.Scheme != "https")
        {
            return new NetworkStream(socket, ownsSocket: true);
        }
        request.Options.TryGetValue(Trust, out var trust);
        return await trust!.HandshakeAsync(socket, context.DnsEndPoint.Host, BackendTrust.AnyHttp, cancellationToken);
    }
}
