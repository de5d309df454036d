using LoadBalancer.Pools;

namespace LoadBalancer.Http.Messages;

/// <summary>An attempt failed before the head of a response was there.</summary>
/// <param name="error">In which phase, and on which side.</param>
/// <param name="reason">Why, in a few words for the log.</param>
internal sealed class ForwardException(ForwardError error, string reason) : Exception(reason)
{
    /// <summary>In which phase, and on which side.</summary>
    public ForwardError Error { get; } = error;

    /// <summary>
    /// Whether a connection that had served before died without a word: the backend may just have closed it for being idle, as the
    /// request was on its way. That is nobody's fault.
    /// </summary>
    public bool IsStale { get; init; }

    /// <summary>What it says about the backend.</summary>
    public AttemptOutcome Outcome => IsStale ? AttemptOutcome.Abandoned : Error.Outcome();

    /// <summary>Whether nothing was sent because TLS negotiated HTTP/1.1 where it had negotiated HTTP/2 before: the same backend will do, at once.</summary>
    public bool IsOtherVersion { get; init; }
}
