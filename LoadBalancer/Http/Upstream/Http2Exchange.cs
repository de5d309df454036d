using System.Globalization;
using System.IO.Pipelines;
using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// An exchange over one stream of an HTTP/2 connection of the framework's handler. The handler cannot send trailers after a request's
/// body, so trailers are not passed on. Disposing the exchange without <see cref="Complete"/> resets the stream.
/// </summary>
internal sealed class Http2Exchange : Exchange, IUploadTarget
{
    private const int StepSize = 16 * 1024; // the largest DATA frame that a peer must accept

    private readonly ForwardRequest _request;
    private readonly TimeoutOptions _timeouts;
    private readonly CancellationTokenSource _aborted = new();
    private readonly CancellationTokenRegistration _clientGone;
    private readonly CancellationTokenRegistration _superseded;
    private readonly ITimer _deadline;
    private readonly HttpRequestMessage _message;
    private readonly Upload? _upload;
    private readonly Task<HttpResponseMessage> _sending;
    private HttpResponseMessage? _response;
    private Stream? _uploadStream;
    private Stream? _body;
    private byte[] _buffer = [];
    private int? _firstCount; // bytes of the first piece, until they are copied
    private long? _bodyLeft; // null where no Content-Length was announced
    private bool _framed;
    private int _abortCause;

    /// <summary>Starts the request.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    public Http2Exchange(ForwardRequest request, HttpMessageInvoker client, TimeoutOptions timeouts, TimeProvider time)
    {
        (_request, _timeouts) = (request, timeouts);
        _upload = request.Body is null ? null : new Upload(this, request.Body);
        _message = Http2Message.From(request, _upload);
        _deadline = time.CreateTimer(
            static state => ((Http2Exchange)state!).Abort(AbortCause.TimedOut), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _clientGone = request.Context.RequestAborted.UnsafeRegister(static state => ((Http2Exchange)state!).Abort(AbortCause.Client), this);
        _superseded = request.Superseded.UnsafeRegister(static state => ((Http2Exchange)state!).Abort(AbortCause.Client), this);
        SetDeadline(timeouts.Response);
        _sending = client.SendAsync(_message, _aborted.Token);
    }

    /// <inheritdoc/>
    public override int Status => _response is null ? 0 : (int)_response.StatusCode;

    /// <inheritdoc/>
    public override bool IsUploadRefused => _upload is { HasBegun: false };

    /// <inheritdoc/>
    public override bool IsClientGone =>
        Cause == AbortCause.Client || Cause == AbortCause.TimedOut && (AwaitsClient || _request.Body is { AwaitsClient: true });

    /// <inheritdoc/>
    public bool WantsChunks => false;

    /// <inheritdoc cref="Exchange.Aborted"/>
    public override CancellationToken Aborted => _aborted.Token;

    private AbortCause Cause => (AbortCause)Volatile.Read(ref _abortCause);

    /// <inheritdoc/>
    public override async ValueTask ReadHeadAsync()
    {
        try
        {
            _response = await _sending;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException or ForwardException)
        {
            throw Failure(e);
        }
        if (_response.StatusCode == HttpStatusCode.SwitchingProtocols)
        {
            throw new ForwardException(
                ForwardError.ResponseMalformed, "it changes the protocol, which HTTP/2 cannot (RFC 9113 section 8.6)");
        }
        if (Fields().Any(field => !RequestRules.IsFieldValue(field.Value)) || !IsLengthValid(Lengths()))
        {
            throw new ForwardException(ForwardError.ResponseMalformed, "an invalid header field");
        }
        SetDeadline(_timeouts.Idle);
    }

    /// <inheritdoc/>
    public override void CopyHead(HttpResponse to)
    {
        to.StatusCode = Status;
        foreach (var (name, value) in Fields())
        {
            if (HeaderRules.IsReturned(name) && (Status is not (204 or 205) || !IsContentLength(name)))
            {
                to.Headers[name] = StringValues.Concat(to.Headers[name], value);
            }
        }
    }

    /// <inheritdoc/>
    public override async ValueTask<string?> CopyBodyAsync(HttpContext context)
    {
        try
        {
            if (Status is not (204 or 205 or 304) && context.Request.Method != HttpMethods.Head)
            {
                await CopyBodyAsync(context.Response);
            }
            _deadline.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            return null;
        }
        catch (Exception e) when (e is HttpRequestException or IOException or OperationCanceledException)
        {
            return IsClientGone ? null
                : Cause == AbortCause.TimedOut ? "no byte moved for " + _timeouts.Idle
                : FailureReason.Of(e);
        }
    }

    /// <inheritdoc/>
    public override async ValueTask<int> ReadPieceAsync(PipeWriter to)
    {
        var count = _firstCount ?? await _body!.ReadAsync(_buffer, _aborted.Token);
        _firstCount = null;
        _bodyLeft -= count;
        if (count == 0 && _bodyLeft > 0)
        {
            throw new IOException($"stream ended {_bodyLeft} bytes before the end");
        }
        if (_bodyLeft < 0)
        {
            throw new IOException("the body is longer than its Content-Length");
        }
        if (count > 0)
        {
            ClientFraming.WritePiece(to, _buffer.AsSpan(0, count), _framed); // An empty chunk would be the last.
        }
        return count;
    }

    /// <inheritdoc/>
    public override Task TunnelAsync(HttpContext context) => throw new InvalidOperationException("There is no 101 in HTTP/2.");

    /// <inheritdoc/>
    public override async ValueTask EndUploadAsync()
    {
        if (_upload is not null && !_upload.TryRefuse())
        {
            if (!_upload.Ended.IsCompleted)
            {
                Abort(AbortCause.AnsweredEarly);
            }
            await _upload.Ended;
        }
    }

    /// <inheritdoc/>
    public override void Complete()
    {
        // Nothing to do: disposing does not reset a stream that was read to its end.
    }

    /// <inheritdoc cref="Exchange.SetDeadline"/>
    public override void SetDeadline(TimeSpan fromNow) => _deadline.Change(fromNow, Timeout.InfiniteTimeSpan);

    /// <inheritdoc/>
    public void Abort(AbortCause cause)
    {
        if (Interlocked.CompareExchange(ref _abortCause, (int)cause, (int)AbortCause.None) == (int)AbortCause.None)
        {
            _aborted.Cancel();
        }
    }

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> data) => _uploadStream!.WriteAsync(data, _aborted.Token);

    /// <inheritdoc/>
    public ValueTask FlushAsync() => new(_uploadStream!.FlushAsync(_aborted.Token));

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _clientGone.Dispose();
            _superseded.Dispose();
            _deadline.Dispose();
            _response?.Dispose();
            _message.Dispose();
        }
        base.Dispose(disposing);
    }

    private async Task CopyBodyAsync(HttpResponse response)
    {
        _body = await _response!.Content.ReadAsStreamAsync(_aborted.Token);
        _buffer = GC.AllocateUninitializedArray<byte>(StepSize); // Not from a pool: after an abort a read may still be running.
        _bodyLeft = response.ContentLength;
        _framed = _bodyLeft is null && ClientFraming.BeginChunked(response);
        var reading = _body.ReadAsync(_buffer, _aborted.Token);
        if (!reading.IsCompleted)
        {
            await BodyCopy.FlushAsync(this, response.BodyWriter, _timeouts.Idle); // The body may take long. The head need not wait for it.
        }
        _firstCount = await reading;
        await BodyCopy.CopyAsync(this, response.BodyWriter, _timeouts.Idle);
        ClientFraming.WriteTrailers(Trailers(), response, _framed);
        await BodyCopy.EndAsync(this, response, _timeouts.Idle);
    }

    private IEnumerable<(string Name, string Value)> Trailers() =>
        from field in _response!.TrailingHeaders.NonValidated
        from value in field.Value
        where RequestRules.IsFieldValue(value)
        select (field.Key, value);

    private IEnumerable<(string Name, string Value)> Fields() =>
        from field in _response!.Headers.NonValidated.Concat(_response.Content.Headers.NonValidated)
        from value in field.Value
        select (field.Key, value);

    private List<string> Lengths() => [.. Fields().Where(field => IsContentLength(field.Name)).Select(field => field.Value)];

    private static bool IsContentLength(string name) => name.Equals(HeaderNames.ContentLength, StringComparison.OrdinalIgnoreCase);

    private static bool IsLengthValid(List<string> lengths) =>
        lengths.Count == 0 || lengths.Count == 1 && ulong.TryParse(lengths[0], NumberStyles.None, CultureInfo.InvariantCulture, out _);

    private ForwardException Failure(Exception e)
    {
        for (var inner = e; inner is not null && Cause == AbortCause.None; inner = inner.InnerException)
        {
            if (inner is ForwardException known)
            {
                return known; // from the dialer
            }
        }
        var body = _request.Body;
        return new ForwardException(
            Cause switch
            {
                AbortCause.Client => body?.ClientError ?? ForwardError.ClientGone,
                AbortCause.TimedOut => body is { AwaitsClient: true } ? ForwardError.RequestTimeout : ForwardError.ResponseTimeout,
                _ => e is HttpRequestException { HttpRequestError: HttpRequestError.InvalidResponse }
                    ? ForwardError.ResponseMalformed
                    : ForwardError.ResponseHead,
            },
            FailureReason.Of(e));
    }

    /// <summary>The client's body in the form that the framework's handler needs.</summary>
    private sealed class Upload(Http2Exchange exchange, RequestBody body) : HttpContent
    {
        private const int Undecided = 0;
        private const int Begun = 1;
        private const int Refused = 2;

        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        private int _decision; // the first one counts

        public bool HasBegun => Volatile.Read(ref _decision) == Begun;

        /// <summary>Decides that the body is not wanted.</summary>
        /// <returns>False where it is being sent already.</returns>
        public bool TryRefuse() => Interlocked.CompareExchange(ref _decision, Refused, Undecided) != Begun;

        /// <summary>Completed, never faulted, when sending has ended: an error is seen by the code that reads the response.</summary>
        public Task Ended => _ended.Task;

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            if (Interlocked.CompareExchange(ref _decision, Begun, Undecided) != Undecided)
            {
                throw new IOException("the body was sent before, or is not wanted any longer");
            }
            exchange._uploadStream = stream;
            try
            {
                await body.SendAsync(exchange, exchange._timeouts.Idle);
                if (exchange.Status == 0)
                {
                    exchange.SetDeadline(exchange._timeouts.Response);
                }
            }
            finally
            {
                _ended.SetResult();
            }
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
            SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override bool TryComputeLength(out long length)
        {
            length = body.Length ?? 0;
            return body.Length is not null;
        }
    }
}
