using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Forwarding;

/// <summary>Why a request has no response from a backend.</summary>
/// <param name="Error">The error that the client gets, unless another attempt succeeds.</param>
/// <param name="Cause">The same in words, for the operator; null where the error says it all.</param>
internal sealed record AttemptFailure(ForwardError Error, string? Cause = null)
{
    /// <summary>No backend could be chosen.</summary>
    public static AttemptFailure NoBackend { get; } = new(ForwardError.NoBackend);
}
