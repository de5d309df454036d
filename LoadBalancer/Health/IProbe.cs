using LoadBalancer.Pools;

namespace LoadBalancer.Health;

/// <summary>Asks a backend once whether it is well.</summary>
public interface IProbe
{
    /// <summary>
    /// Sends the probe. Every failure is a result, never an exception, unless the token itself is cancelled; null where it could not
    /// even be sent, for a reason that is none of the backend's.
    /// </summary>
    Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken);
}

/// <summary>What a probe found.</summary>
/// <param name="Succeeded">Whether the backend is well.</param>
/// <param name="Reason">Why, in one short phrase.</param>
public readonly record struct ProbeResult(bool Succeeded, string Reason);
