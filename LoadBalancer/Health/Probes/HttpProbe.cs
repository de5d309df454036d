using System.Globalization;
using System.Net;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Health.Probes;

/// <summary>Sends GET for the path of the health check; any 2xx is success. Reads only the head of the response.</summary>
/// <param name="client">Sends the probes; made over <see cref="CreateHandler"/>.</param>
/// <param name="options">The pool's health check.</param>
/// <param name="version">The HTTP version for http:// backends; https:// backends negotiate it.</param>
/// <param name="time">The clock of the time-out.</param>
public sealed class HttpProbe(HttpClient client, HealthCheckOptions options, Version version, TimeProvider time) : IProbe
{
    /// <summary>
    /// The handler for probes. Each probe opens its own connection: a server that accepts no new connections is not healthy, even if it
    /// still serves old ones.
    /// </summary>
    /// <param name="trust">Verifies the certificates of https:// backends.</param>
    public static HttpMessageHandler CreateHandler(BackendTrust trust) => new SocketsHttpHandler
    {
        ConnectCallback = (context, cancellationToken) => ConnectAsync(context, trust, cancellationToken),
        PooledConnectionLifetime = TimeSpan.Zero,
        AllowAutoRedirect = false,
        UseCookies = false,
        UseProxy = false,
        ActivityHeadersPropagator = null,
    };

    /// <inheritdoc/>
    public Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken) => IProbe.InTimeAsync(
        async token =>
        {
            var isSecure = backend.Address.Scheme == "https";
            using var request = new HttpRequestMessage(HttpMethod.Get, backend.Address + options.Path)
            {
                Version = isSecure ? HttpVersion.Version11 : version,
                VersionPolicy = isSecure ? HttpVersionPolicy.RequestVersionOrHigher : HttpVersionPolicy.RequestVersionExact,
            };
            request.Headers.UserAgent.ParseAdd("loadbalancer-probe");
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, token);
            var status = string.Create(CultureInfo.InvariantCulture, $"GET {options.Path} answered {(int)response.StatusCode}");
            return new ProbeResult(response.IsSuccessStatusCode, status);
        },
        options.Timeout,
        time,
        cancellationToken);

    private static async ValueTask<Stream> ConnectAsync(
        SocketsHttpConnectionContext context, BackendTrust trust, CancellationToken cancellationToken)
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
        return context.InitialRequestMessage.RequestUri!.Scheme == "https"
            ? await trust.HandshakeAsync(socket, context.DnsEndPoint.Host, BackendTrust.AnyHttp, cancellationToken)
            : new NetworkStream(socket, ownsSocket: true);
    }
}
