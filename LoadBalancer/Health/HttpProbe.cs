using System.Globalization;
using LoadBalancer.Configuration;
using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>GET the health check's path; any 2xx is success. Reads no further than the head of the answer.</summary>
/// <param name="client">Sends the probes; made over <see cref="CreateHandler"/>.</param>
/// <param name="options">The pool's health check.</param>
/// <param name="version">What is spoken to http:// backends; with https:// ones it is negotiated.</param>
/// <param name="time">The clock of the time-out.</param>
public sealed class HttpProbe(HttpClient client, HealthCheckOptions options, Version version, TimeProvider time) : IProbe
{
    /// <summary>
    /// The handler for probes: each opens a connection of its own, for a server that no longer accepts any is not well, however
    /// many old ones it still serves.
    /// </summary>
    /// <param name="tls">How https:// backends prove who they are.</param>
    public static HttpMessageHandler CreateHandler(BackendTlsOptions tls) => new SocketsHttpHandler
    {
        SslOptions = tls.ForHost(null),
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
            using var request = new HttpRequestMessage(HttpMethod.Get, backend.Address + options.Path)
            {
                Version = version,
                VersionPolicy = backend.Address.Scheme == "https" ? HttpVersionPolicy.RequestVersionOrHigher : HttpVersionPolicy.RequestVersionExact,
            };
            request.Headers.UserAgent.ParseAdd("loadbalancer-probe");
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, token);
            var status = string.Create(CultureInfo.InvariantCulture, $"GET {options.Path} answered {(int)response.StatusCode}");
            return new ProbeResult(response.IsSuccessStatusCode, status);
        },
        options.Timeout,
        time,
        cancellationToken);
}
