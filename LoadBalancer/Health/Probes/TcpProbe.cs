using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Transport;

namespace LoadBalancer.Health.Probes;

/// <summary>Opens a connection and closes it again: a backend that accepts it is healthy.</summary>
/// <param name="options">The pool's health check.</param>
/// <param name="time">The clock of the time-out.</param>
public sealed class TcpProbe(HealthCheckOptions options, TimeProvider time) : IProbe
{
    /// <inheritdoc/>
    public Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken) => IProbe.InTimeAsync(
        async token =>
        {
            using var socket = await Connector.OpenSocketAsync(IProbe.AddressOf(backend, options), backend.Hosts, token);
            return new ProbeResult(true, "connected");
        },
        options.Timeout,
        time,
        cancellationToken);
}
