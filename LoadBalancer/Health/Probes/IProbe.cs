using System.Globalization;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Probes;

/// <summary>Asks a backend once whether it is well.</summary>
public interface IProbe
{
    /// <summary>
    /// Sends the probe. Every failure is a result, never an exception, unless the token itself is cancelled; null where it could not
    /// even be sent, for a reason that is none of the backend's.
    /// </summary>
    Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken);

    /// <summary>Runs a probe and makes a result of whatever it throws.</summary>
    /// <param name="probe">The probe; its token is cancelled when its time is over.</param>
    /// <param name="timeout">How long it may take.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Cancelled when nobody wants to know any longer.</param>
    protected static async Task<ProbeResult?> InTimeAsync(
        Func<CancellationToken, Task<ProbeResult>> probe, TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            return await probe(either.Token);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            var reason = deadline.IsCancellationRequested
                ? string.Create(CultureInfo.InvariantCulture, $"no answer within {timeout.TotalSeconds} s")
                : FailureReason.Of(e);
            return FailureReason.IsLocal(e) ? null : new ProbeResult(false, reason);
        }
    }
}

/// <summary>What a probe found.</summary>
/// <param name="Succeeded">Whether the backend is well.</param>
/// <param name="Reason">Why, in one short phrase.</param>
public readonly record struct ProbeResult(bool Succeeded, string Reason);
