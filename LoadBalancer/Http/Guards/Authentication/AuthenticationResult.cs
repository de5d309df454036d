using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>What came out of a check: one of the three.</summary>
/// <param name="Identity">Who the client is, where that is proved.</param>
/// <param name="Error">Why it is not.</param>
/// <param name="Challenge">What <c>WWW-Authenticate</c> says then; null for nothing.</param>
/// <param name="RetryAfter">When the client may try again, where that is known.</param>
/// <param name="Answer">The answer of a server that decides; it goes to the client.</param>
internal readonly record struct AuthenticationResult(
    ProvedIdentity? Identity, ForwardError Error = default, string? Challenge = null, TimeSpan? RetryAfter = null,
    DecidedAnswer? Answer = null);
