using System.Globalization;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Probes;

/// <summary>Checks once whether a backend is healthy.</summary>
public interface IProbe
{
    /// <summary>
    /// Sends the probe. Every failure is a result, never an exception, unless <paramref name="cancellationToken"/> is cancelled.
    /// Null if the probe could not be sent for a local reason, such as no free file descriptor: that says nothing about the backend.
    /// </summary>
    Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken);

    /// <summary>Where a probe connects to: the backend's address, or another port there.</summary>
    protected static EndpointAddress AddressOf(Backend backend, HealthCheckOptions options) =>
        options.Port is { } port ? backend.Address with { Port = port } : backend.Address;

    /// <summary>The host that a probe over HTTP names: the one that is set, else the backend's name, with the port of the probe.</summary>
    protected static string HostOf(Backend backend, HealthCheckOptions options) =>
        options.Host ?? ProbeRequest.HostOf(backend.NamedAddress with { Port = AddressOf(backend, options).Port });

    /// <summary>Runs a probe with a time-out, and turns what it throws into a result.</summary>
    /// <param name="probe">The probe; its token is cancelled after <paramref name="timeout"/>.</param>
    /// <param name="timeout">How long it may take.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Cancelled when the result is no longer wanted.</param>
    protected static async Task<ProbeResult?> InTimeAsync(
        Func<CancellationToken, Task<ProbeResult>> probe, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            return await probe(either.Token);
        }
        catch (Exception e)
        {
            cancellationToken.ThrowIfCancellationRequested(); // It may have failed for its own reason in the same moment.
            var reason = deadline.IsCancellationRequested
                ? string.Create(CultureInfo.InvariantCulture, $"no answer within {timeout.TotalSeconds} s")
                : FailureReason.Of(e);
            return FailureReason.IsLocal(e) ? null : new ProbeResult(false, reason);
        }
    }
}
