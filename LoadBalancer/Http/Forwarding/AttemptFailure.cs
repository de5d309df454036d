using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Forwarding;

/// <summary>Why a request has no response from a backend.</summary>
/// <param name="Error">The error that the client gets, unless another attempt succeeds.</param>
/// <param name="Cause">The same in words, for the operator; null where the error says it all.</param>
/// <param name="Backend">The backend that was tried last; null where none was.</param>
internal sealed record AttemptFailure(ForwardError Error, string? Cause = null, Backend? Backend = null)
{
    /// <summary>No backend could be chosen.</summary>
    public static AttemptFailure NoBackend { get; } = new(ForwardError.NoBackend);
}
