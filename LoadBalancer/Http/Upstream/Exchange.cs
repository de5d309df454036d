using System.IO.Pipelines;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// A request on its way to a backend, and its response. <see cref="HttpClient"/> returns it as soon as the request was sent off, nearly
/// always without having waited for anything: whoever wants the response's head awaits <see cref="ReadHeadAsync"/>, without the
/// client's and the handler's state machines in between. Disposing it without <see cref="Complete"/> breaks it off.
/// </summary>
internal abstract class Exchange : HttpResponseMessage
{
    /// <summary>The response's status; 0 until its head was read.</summary>
    public abstract int Status { get; }

    /// <summary>How many bytes of the response's body went on to the client.</summary>
    public long BytesRelayed { get; set; }

    /// <summary>Whether the client held its body back, and was not told to send it.</summary>
    public abstract bool IsUploadRefused { get; }

    /// <summary>Whether the client went away, fell silent, or sent a broken message.</summary>
    public abstract bool IsClientGone { get; }

    /// <summary>Whether we wait for the client to take what was sent to it, rather than for the backend.</summary>
    public bool AwaitsClient { get; set; }

    /// <summary>Cancelled when the exchange is aborted.</summary>
    public abstract CancellationToken Aborted { get; }

    /// <summary>From now on the exchange is aborted unless this is called again within the time given.</summary>
    public abstract void SetDeadline(TimeSpan fromNow);

    /// <summary>Waits for the head of the response; interim responses (1xx) are passed over.</summary>
    /// <exception cref="ForwardException">There will be none.</exception>
    public abstract ValueTask ReadHeadAsync();

    /// <summary>Copies status and header fields, less those between two neighbours.</summary>
    public abstract void CopyHead(HttpResponse to);

    /// <summary>Streams the body; every piece is on its way to the client before the next is read.</summary>
    /// <returns>Null where the body is whole, or the client is gone; else what the backend did wrong.</returns>
    public abstract ValueTask<string?> CopyBodyAsync(HttpContext context);

    /// <summary>Whether <see cref="ReadPieceAsync"/> need not wait for the backend.</summary>
    public abstract bool IsPieceAtHand();

    /// <summary>Reads the next piece of a body, and writes it for the client, framed where the framing is ours.</summary>
    /// <returns>How many bytes of the body it has; 0 at its end.</returns>
    /// <exception cref="IOException">The body ends too early, or is too long.</exception>
    public abstract ValueTask<int> ReadPieceAsync(PipeWriter to);

    /// <summary>After a 101: switches the client's connection over too, and returns when the tunnel has ended.</summary>
    public abstract Task TunnelAsync(HttpContext context);

    /// <summary>
    /// Returns when the upload has ended. Where the response was over first, the upload is broken off: the backend has said all it has
    /// to say (RFC 9112 section 9.5).
    /// </summary>
    public abstract ValueTask EndUploadAsync();

    /// <summary>The whole response was read: what it came over may serve the next request.</summary>
    public abstract void Complete();
}
