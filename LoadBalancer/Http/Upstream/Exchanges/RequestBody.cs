using System.Buffers;
using System.IO.Pipelines;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>
/// The client's body: streamed to a backend as it arrives, never buffered as a whole. Its beginning is kept where a backend may say that it
/// has not processed the request.
/// </summary>
/// <param name="request">The client's request.</param>
/// <param name="time">The clock.</param>
/// <param name="routed">Which of its fields the backend does not get; null for none.</param>
internal sealed class RequestBody(HttpRequest request, TimeProvider time, RoutedRequest? routed = null)
{
    // How much is kept at most, in bytes.
    private const int MaxKept = 64 * 1024;

    private ArrayBufferWriter<byte>? _kept;
    private List<(string Name, string Value)> _trailers = [];
    private bool _hasBegun;
    private bool _hasEnded;
    private long _taken; // bytes that were read and sent
    private long _waitingSince;

    /// <summary>Whether something was read from the client that is not kept; then the body cannot be sent to another backend.</summary>
    public bool IsUsedUp => _hasBegun && _kept is null;

    /// <summary>Whether the upload waits for the client, and not for the backend.</summary>
    public bool AwaitsClient { get; private set; }

    /// <summary>How long the upload has been waiting for the client; zero where it does not.</summary>
    public TimeSpan Waited => AwaitsClient ? time.GetElapsedTime(_waitingSince) : TimeSpan.Zero;

    /// <summary>The error in the client's message; null where there is none.</summary>
    public ForwardError? ClientError { get; private set; }

    /// <summary>Its length where the client announced it; null where its end shows only when it comes.</summary>
    public long? Length => request.ContentLength;

    /// <summary>
    /// Sends the body as it arrives. If the client does not send all of it, the exchange is aborted, so that the backend never takes a
    /// part for the whole. If the backend stops reading, its response counts, which it may have sent already.
    /// </summary>
    public async Task SendAsync(IUploadTarget target, TimeSpan idle)
    {
        var reader = request.BodyReader;
        // The token is not passed to ReadAsync: Kestrel would then take the read for unfinished for ever, and close the connection.
        using var aborted = target.Aborted.UnsafeRegister(static reader => CancelRead((PipeReader)reader!), reader);
        var isEndSent = false;
        if (_hasBegun && _kept is { WrittenCount: > 0 })
        {
            isEndSent = _hasEnded && _trailers.Count == 0;
            await target.SendAsync(_kept.WrittenMemory, isEndSent);
        }
        else if (!_hasBegun && target.MayRefuse)
        {
            _kept = Length is { } length ? new ArrayBufferWriter<byte>((int)Math.Clamp(length, 1, MaxKept)) : new ArrayBufferWriter<byte>();
        }
        _hasBegun = true;
        // Over HTTP/2 Kestrel checks the limit only when the bytes were used, and an announced length before that.
        var limit = Length is null ? request.HttpContext.Features.Get<IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize : null;
        while (!_hasEnded)
        {
            var read = await ReadAsync(target, reader, idle);
            var rest = read.Buffer;
            try
            {
                RequireSize(rest.Length, limit, target);
                var trailers = read.IsCompleted ? Trailers(target) : [];
                while (!rest.IsEmpty)
                {
                    var piece = rest.First;
                    isEndSent = read.IsCompleted && rest.Length == piece.Length && trailers.Count == 0;
                    target.SetDeadline(idle);
                    if (!piece.IsEmpty)
                    {
                        await target.SendAsync(piece, isEndSent);
                        Keep(piece.Span, target);
                        routed?.KeptBody?.Add(piece.Span);
                    }
                    rest = rest.Slice(piece.Length);
                    _taken += piece.Length;
                }
                (_hasEnded, _trailers) = (read.IsCompleted, trailers);
            }
            finally
            {
                reader.AdvanceTo(rest.Start); // What could not be sent can be read again for another backend.
            }
        }
        routed?.KeptBody?.End();
        if (!isEndSent)
        {
            await EndAsync(target);
        }
    }

    private void RequireSize(long received, long? limit, IUploadTarget target)
    {
        if (received > 0 && _taken + received > limit)
        {
            ClientError = ForwardError.RequestTooLarge;
            target.Abort(AbortCause.Client);
            throw new IOException("the body is too large");
        }
    }

    private async ValueTask EndAsync(IUploadTarget target)
    {
        try
        {
            await target.EndAsync(_trailers);
        }
        catch (ForwardException e) // The trailers are the client's.
        {
            ClientError = e.Error;
            target.Abort(AbortCause.Client);
            throw;
        }
    }

    private async ValueTask<ReadResult> ReadAsync(IUploadTarget target, PipeReader reader, TimeSpan idle)
    {
        (_waitingSince, AwaitsClient) = (time.GetTimestamp(), true);
        target.SetDeadline(idle);
        ReadResult read;
        try
        {
            var reading = reader.ReadAsync();
            if (!reading.IsCompleted)
            {
                target.Flush(); // The next piece may take long. What was sent need not wait for it.
            }
            read = await reading;
            while (read.IsCanceled && !target.Aborted.IsCancellationRequested)
            {
                reader.AdvanceTo(read.Buffer.Start); // An attempt before was aborted while it was not reading.
                read = await reader.ReadAsync();
            }
        }
        catch (BadHttpRequestException e)
        {
            ClientError = e.StatusCode switch
            {
                StatusCodes.Status413PayloadTooLarge => ForwardError.RequestTooLarge,
                StatusCodes.Status408RequestTimeout => ForwardError.RequestTimeout,
                _ => ForwardError.RequestBody,
            };
            target.Abort(AbortCause.Client);
            throw;
        }
        catch (ConnectionResetException)
        {
            request.HttpContext.Abort(); // Kestrel notices the reset later, and would log an error before that.
            target.Abort(AbortCause.Client);
            throw;
        }
        catch (IOException)
        {
            ClientError = ForwardError.RequestBody; // Kestrel reports some malformed chunks in this way.
            target.Abort(AbortCause.Client);
            throw;
        }
        if (read.IsCanceled)
        {
            reader.AdvanceTo(read.Buffer.Start);
            throw new OperationCanceledException("the connection was aborted");
        }
        AwaitsClient = false;
        return read;
    }

    /// <summary>Ends a read, because the upload is aborted; no error where Kestrel has ended it already.</summary>
    internal static void CancelRead(PipeReader reader)
    {
        try
        {
            reader.CancelPendingRead();
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The client's connection was aborted too, or its request is over. Then the read ends by itself.
        }
    }

    private void Keep(ReadOnlySpan<byte> data, IUploadTarget target)
    {
        if (_kept is null)
        {
            return;
        }
        if (!target.MayRefuse || _kept.WrittenCount + data.Length > MaxKept)
        {
            _kept = null;
            return;
        }
        _kept.Write(data);
    }

    // The trailers are available once the body was read to its end.
    private List<(string Name, string Value)> Trailers(IUploadTarget target)
    {
        List<(string, string)> passed = [];
        if (request.HttpContext.Features.Get<IHttpRequestTrailersFeature>() is { Available: true, Trailers: { Count: > 0 } trailers })
        {
            foreach (var (name, values) in trailers)
            {
                foreach (var value in values)
                {
                    // Kestrel does not check trailers of HTTP/2: they may even contain line ends.
                    if (!RequestRules.IsFieldName(name) || !RequestRules.IsFieldValue(value!))
                    {
                        ClientError = ForwardError.RequestBody;
                        target.Abort(AbortCause.Client);
                        throw new IOException("an invalid trailer");
                    }
                    if (HeaderRules.IsRequestTrailer(name) && routed?.Drops(name) != true)
                    {
                        passed.Add((name, value!));
                    }
                }
            }
        }
        return passed;
    }
}
