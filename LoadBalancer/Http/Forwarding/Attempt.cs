using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Forwarding;

/// <summary>The result of an attempt: a response whose head was read, or an error.</summary>
/// <param name="Exchange">The response; null where there is none, and the lease is completed.</param>
/// <param name="Lease">The backend that was asked.</param>
/// <param name="ResponseTime">The time until the head of the response was there.</param>
/// <param name="Error">Why there is no response.</param>
/// <param name="Cause">The same in words, for the operator.</param>
/// <param name="SlowerAttempt">Another attempt, which was cancelled; the request must not end before it.</param>
/// <param name="Trace">Its span, where there is a response and the request is traced.</param>
internal readonly record struct Attempt(
    Exchange? Exchange, BackendLease Lease, TimeSpan ResponseTime, ForwardError Error = default, string? Cause = null,
    Task? SlowerAttempt = null, AttemptTrace? Trace = null);
