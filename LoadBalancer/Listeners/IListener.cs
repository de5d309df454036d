using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Listeners;

/// <summary>
/// Accepts client connections: one entry of <c>Listeners</c>, of any protocol. It listens from <see cref="StartAsync"/> on.
/// </summary>
public interface IListener : IDisposable
{
    /// <summary>Its name in the configuration.</summary>
    string Name { get; }

    /// <summary>The address on which it listens. If the configured port is 0, the port is known after the start.</summary>
    string Address { get; }

    /// <summary>Connections that are open, those of workers included.</summary>
    int Connections { get; }

    /// <summary>Connections that were closed at once because there were <see cref="ListenerOptions.MaxConnections"/> already.</summary>
    long Refused { get; }

    /// <summary>The certificates that it uses now; none without TLS.</summary>
    IReadOnlyList<CertificateStatus> Certificates => [];

    /// <summary>Applies new options, which need no other listener (<see cref="ListenerOptions.NeedsAnother"/>).</summary>
    void Apply(ListenerOptions options);

    /// <summary>Starts to listen.</summary>
    /// <exception cref="StartException">The address cannot be listened on.</exception>
    Task StartAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Accepts nothing more, and tells clients so where the protocol can: the next answer of a connection is its last. Connections stay
    /// open until <see cref="StopAsync"/>, which should come a moment later: a request may be on its way.
    /// </summary>
    void Leave();

    /// <summary>Stops accepting, closes idle connections, and lets requests in flight finish until the token is cancelled.</summary>
    Task StopAsync(CancellationToken cancellationToken);
}
