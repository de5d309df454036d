using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Forwarding;

/// <summary>The result of an attempt: a response whose head was read, or a failure.</summary>
/// <param name="Exchange">The response; null where there is none, and the lease is completed.</param>
/// <param name="Lease">The backend that was asked.</param>
/// <param name="ResponseTime">The time until the head of the response was there.</param>
/// <param name="Failure">Why there is no response; null where there is one.</param>
/// <param name="SlowerAttempt">Another attempt, which was cancelled; the request must not end before it.</param>
internal readonly record struct Attempt(
    Exchange? Exchange, BackendLease Lease, TimeSpan ResponseTime, AttemptFailure? Failure = null, Task? SlowerAttempt = null);
