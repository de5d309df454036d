using LoadBalancer.Http.Guards.Rates;

namespace LoadBalancer.Http.Guards;

/// <summary>A request that the guards let through; disposed of when it has ended.</summary>
/// <param name="Limiter">The limiter that counts it as in flight; null where none does.</param>
/// <param name="Key">Its key there.</param>
internal readonly record struct GuardAdmission(RateLimiter? Limiter, ulong Key) : IDisposable
{
    /// <summary>Whether there is nothing to dispose of.</summary>
    public bool IsFree => Limiter is null;

    /// <inheritdoc/>
    public void Dispose() => Limiter?.Release(Key);
}
