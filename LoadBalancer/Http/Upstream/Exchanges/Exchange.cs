using System.IO.Pipelines;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Tracing;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>
/// A request that was sent to a backend, and its response. <see cref="HttpClient"/> returns it when the head of the request was sent,
/// nearly always without waiting. The head of the response is awaited with <see cref="ReadHeadAsync"/>, without the state machines of
/// the client and the handler in between. Disposing it without <see cref="Complete"/> aborts it.
/// </summary>
/// <param name="request">The request.</param>
/// <param name="time">The clock.</param>
internal abstract class Exchange(ForwardRequest request, TimeProvider time) : HttpResponseMessage
{
    /// <summary>
    /// How many interim responses (1xx) are skipped. Without a limit, a backend that sends them without end would keep the thread from all
    /// its other connections.
    /// </summary>
    public const int MaxInterimResponses = 100;

    // A backend that has waited so long for its client may give up, and is not to blame.
    private static readonly TimeSpan LongWait = TimeSpan.FromSeconds(5);

    // Many servers accept no larger head, and some of them end the connection without an answer.
    private const int LargeHead = 8 * 1024;

    private bool _hasWaitedLong;

    /// <summary>The response's status; 0 until its head was read.</summary>
    public abstract int Status { get; }

    /// <summary>The span of its attempt, where the request is traced.</summary>
    public AttemptTrace? Trace => request.Trace;

    /// <summary>The version of HTTP that the backend speaks.</summary>
    public virtual string ProtocolVersion => "1.1";

    /// <summary>How many bytes of the response's body were passed on to the client.</summary>
    public long BytesRelayed { get; set; }

    /// <summary>Compresses the response's body on its way to the client; null where it is passed on as it comes.</summary>
    public CompressedBody? Compressed { get; private set; }

    /// <summary>How many bytes of the body the client was sent, compressed where it is.</summary>
    public long BytesSent => Compressed?.BytesSent ?? BytesRelayed;

    /// <summary>Whether the request has a body that was not sent to the backend.</summary>
    public abstract bool IsUploadRefused { get; }

    /// <summary>Whether the client went away, stopped sending or reading, or sent a malformed message.</summary>
    public bool IsClientGone => AbortCause == AbortCause.Client
        || AbortCause == AbortCause.TimedOut && (AwaitsClient || Request.Body is { AwaitsClient: true });

    /// <summary>
    /// Whether the client has sent nothing of its body, or taken nothing of the response, for so long that a backend may have ended the
    /// exchange for it.
    /// </summary>
    public bool HasClientHeldItUp => _hasWaitedLong || Request.Body?.Waited >= LongWait;

    /// <summary>
    /// The error code with which the backend has reset the response, for a client that speaks HTTP/2 too; null where it has not.
    /// </summary>
    public int? ResetCode { get; protected set; }

    /// <summary>Whether the exchange waits for the client to read, and not for the backend.</summary>
    public bool AwaitsClient { get; set; }

    /// <summary>Why it was aborted.</summary>
    protected abstract AbortCause AbortCause { get; }

    /// <summary>The request.</summary>
    protected ForwardRequest Request => request;

    /// <summary>Cancelled when the exchange is aborted.</summary>
    public abstract CancellationToken Aborted { get; }

    /// <summary>Aborts the exchange after the time given, unless this is called again before.</summary>
    public abstract void SetDeadline(TimeSpan fromNow);

    /// <summary>Waits for the head of the response; interim responses (1xx) are skipped.</summary>
    /// <exception cref="ForwardException">There is no response.</exception>
    public abstract ValueTask ReadHeadAsync();

    /// <summary>Copies status and header fields, except the hop-by-hop ones.</summary>
    public abstract void CopyHead(HttpResponse to);

    /// <summary>Compresses the body where a route says so of a response with this head, which is changed then.</summary>
    public void Compress(HttpContext context, ResponseCompression compression)
    {
        var length = context.Response.ContentLength;
        if (compression.Begin(context) is { } coding)
        {
            Compressed = new CompressedBody(context.Response, coding, length, compression.IsSlow);
        }
    }

    /// <summary>Where the body is written for the client.</summary>
    public PipeWriter BodyOf(HttpResponse response) => Compressed is null ? response.BodyWriter : Compressed;

    /// <summary>Streams the body; every piece is sent to the client before the next is waited for.</summary>
    /// <returns>Null where the body is complete, or the client is gone; else what the backend did wrong.</returns>
    public abstract ValueTask<string?> CopyBodyAsync(HttpContext context);

    /// <summary>Reads the next piece of a body, and writes it for the client, framed where the framing is ours.</summary>
    /// <returns>How many bytes of the body it has; 0 at its end.</returns>
    /// <exception cref="IOException">The body ends too early, or is too long.</exception>
    public abstract ValueTask<int> ReadPieceAsync(PipeWriter to);

    /// <summary>After a 101: switches the client's connection to the other protocol too, and returns when the tunnel has ended.</summary>
    public abstract Task TunnelAsync(HttpContext context);

    /// <summary>
    /// Returns when the upload has ended. Where the response was complete first, the upload is aborted (RFC 9112 section 9.5).
    /// </summary>
    public abstract ValueTask EndUploadAsync();

    /// <summary>Waits until the client has taken what was written to it; see <see cref="HasClientHeldItUp"/>.</summary>
    public async ValueTask AwaitClientAsync(ValueTask<FlushResult> flushing)
    {
        var since = time.GetTimestamp();
        await flushing;
        _hasWaitedLong |= time.GetElapsedTime(since) >= LongWait;
    }

    /// <summary>
    /// Whether what the client has sent, or not sent, may be why a backend ended the exchange without an answer. Then it is not blamed:
    /// a client alone could take it out of use.
    /// </summary>
    /// <param name="headSize">The size of the request's head in bytes.</param>
    protected bool MayBeClients(int headSize) => headSize > LargeHead || HasClientHeldItUp;

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Compressed?.Dispose();
        }
        base.Dispose(disposing);
    }

    /// <summary>The whole response was read, so the connection may serve the next request.</summary>
    public abstract void Complete();
}
