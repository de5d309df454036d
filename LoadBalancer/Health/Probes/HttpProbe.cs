using System.Globalization;
using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Health.Probes;

/// <summary>Sends GET for the path of the health check; any 2xx is success. Reads only the head of the response.</summary>
/// <param name="client">Sends the probes, each over a connection of its own; without a time-out of its own.</param>
/// <param name="trust">Verifies the certificates of https:// backends.</param>
/// <param name="options">The pool's health check.</param>
/// <param name="version">The HTTP version for http:// backends; https:// backends negotiate it.</param>
/// <param name="time">The clock of the time-out.</param>
public sealed class HttpProbe(
    HttpClient client, BackendTrust trust, HealthCheckOptions options, Version version, TimeProvider time) : IProbe
{
    /// <inheritdoc/>
    public Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken) => IProbe.InTimeAsync(
        async token =>
        {
            var isSecure = backend.Address.Scheme == "https";
            using var request = new HttpRequestMessage(HttpMethod.Get, backend.NamedAddress.HttpUrl + options.Path)
            {
                Version = isSecure ? HttpVersion.Version11 : version,
                VersionPolicy = isSecure ? HttpVersionPolicy.RequestVersionOrHigher : HttpVersionPolicy.RequestVersionExact,
            };
            request.Options.Set(BackendTrust.Key, trust);
            request.Options.Set(Backend.Key, backend);
            request.Headers.UserAgent.ParseAdd("loadbalancer-probe");
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, token);
            var status = string.Create(CultureInfo.InvariantCulture, $"GET {options.Path} answered {(int)response.StatusCode}");
            return new ProbeResult(response.IsSuccessStatusCode, status);
        },
        options.Timeout,
        time,
        cancellationToken);
}
