using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Guards;

/// <summary>A guard does not let a request through.</summary>
/// <param name="Error">Why.</param>
/// <param name="RetryAfter">When the client may try again, where that is known.</param>
internal readonly record struct Refusal(ForwardError Error, TimeSpan? RetryAfter = null);
