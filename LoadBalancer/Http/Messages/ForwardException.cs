using LoadBalancer.Pools;

namespace LoadBalancer.Http.Messages;

/// <summary>An attempt failed before the head of a response was complete.</summary>
/// <param name="error">The phase in which it failed, and the side that failed.</param>
/// <param name="reason">Why, in a few words for the log.</param>
internal sealed class ForwardException(ForwardError error, string reason) : Exception(reason)
{
    /// <summary>The phase in which it failed, and the side that failed.</summary>
    public ForwardError Error { get; } = error;

    /// <summary>
    /// Whether a connection that had served other requests was closed before any byte of the response: the backend may have closed it
    /// for being idle while the request was on its way. That is no failure of the backend.
    /// </summary>
    public bool IsStale { get; init; }

    /// <summary>
    /// Whether the backend says that it has not processed the request (HTTP/2: GOAWAY, REFUSED_STREAM). It can be sent again whatever its
    /// method is, and that is no failure of the backend.
    /// </summary>
    public bool IsRefused { get; init; }

    /// <summary>
    /// Whether the connection on which it was refused has served other requests before it ended (HTTP/2: GOAWAY). The next connection may
    /// then serve this one.
    /// </summary>
    public bool HasServedOthers { get; init; }

    /// <summary>Whether what the client has sent, or not sent, may be why the backend ended the exchange.</summary>
    public bool MayBeClients { get; init; }

    /// <summary>What it means for the backend.</summary>
    public AttemptOutcome Outcome => IsStale || IsRefused || MayBeClients ? AttemptOutcome.Abandoned : Error.Outcome();

    /// <summary>
    /// Whether nothing was sent because TLS negotiated HTTP/1.1 where it had negotiated HTTP/2 before. The request can go to the same
    /// backend at once.
    /// </summary>
    public bool IsOtherVersion { get; init; }
}
