using System.Diagnostics.CodeAnalysis;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// An exchange over one stream of an HTTP/2 connection. Disposing it before both sides have ended the stream resets it.
/// </summary>
internal sealed class Http2Exchange : Exchange, IUploadTarget
{
    // A connection that was opened and not used at once may be closed for being idle, like one that has served requests.
    private static readonly TimeSpan UnusedTime = TimeSpan.FromSeconds(1);

    private readonly TimeoutOptions _timeouts;
    private readonly TimeProvider _time;
    private readonly bool _isNegotiated;
    private readonly Http2Stream _stream;
    private readonly Upload? _upload;
    private readonly Http2HeadWriter _head;
    private readonly CancellationTokenRegistration _clientGone;
    private readonly CancellationTokenRegistration _superseded;
    private int _status;
    private bool _isStarted;
    private bool _isFirst; // on its connection
    private bool _isFramed;
    private bool _isReleased;

    /// <summary>Prepares the request; nothing is sent yet.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    public Http2Exchange(ForwardRequest request, TimeoutOptions timeouts, TimeProvider time, bool isNegotiated)
        : base(request, time)
    {
        (_timeouts, _time, _isNegotiated) = (request.Timeouts ?? timeouts, time, isNegotiated);
        _head = Http2HeadWriter.Write(request);
        _stream = new Http2Stream(time, request.Context.Request.Method == HttpMethods.Head);
        _upload = request.Body is { } body ? new Upload(this, body, this, _timeouts) : null;
        _clientGone = request.Context.RequestAborted.UnsafeRegister(AbortForClient, _stream);
        _superseded = request.Superseded.UnsafeRegister(AbortForClient, _stream);
    }

    /// <summary>The size of the request's head, as SETTINGS_MAX_HEADER_LIST_SIZE counts it.</summary>
    public int HeadSize => _head.ListSize;

    /// <inheritdoc/>
    public override int Status => _status;

    /// <inheritdoc/>
    public override string ProtocolVersion => "2";

    /// <inheritdoc/>
    public override bool IsUploadRefused => _upload is { IsRefused: true };

    /// <inheritdoc/>
    protected override AbortCause AbortCause => _stream.AbortCause;

    /// <inheritdoc cref="Exchange.Aborted"/>
    public override CancellationToken Aborted => _stream.Aborted;

    /// <inheritdoc/>
    public bool MayRefuse => true;

    /// <inheritdoc/>
    public bool CanEndTunnel => true; // RFC 8441 section 5

    /// <summary>Starts the request on a connection: sends its head, and begins to send its body.</summary>
    /// <returns>False where the connection has no room for it now.</returns>
    public bool TryStart(Http2Connection connection)
    {
        var isFirst = !connection.HasServed && _time.GetElapsedTime(connection.OpenedAt) < UnusedTime;
        if (!connection.TryStart(_stream, _head.Written.Span, isEnd: _upload is null && !Request.IsHttp2Upgrade))
        {
            return false;
        }
        (_isStarted, _isFirst) = (true, isFirst);
        _head.Dispose();
        SetDeadline(_timeouts.Response);
        _upload?.Begin(Request.ExpectsContinue, _time);
        connection.Flush();
        return true;
    }

    /// <inheritdoc/>
    public override async ValueTask ReadHeadAsync()
    {
        var isContinued = false;
        await _stream.WaitForHeadAsync(isContinued);
        while (_stream is { Head: null, Failure: null })
        {
            isContinued = true;
            _upload?.Decide(start: true);
            await _stream.WaitForHeadAsync(isContinued);
        }
        if (_stream.Head is not { } head)
        {
            throw Failure(_stream.Failure!);
        }
        if (_stream.IsContinued)
        {
            _upload?.Decide(start: true);
        }
        _upload?.Decide(start: false); // If it has not started by now, the backend does not want it.
        // RFC 8441 section 5: there is no 101 over HTTP/2; the stream is the tunnel.
        _status = Request.IsHttp2Upgrade && head.Status is >= 200 and < 300 ? StatusCodes.Status101SwitchingProtocols : head.Status;
        SetDeadline(_timeouts.Idle);
    }

    /// <inheritdoc/>
    public override void CopyHead(HttpResponse to)
    {
        to.StatusCode = _status;
        ResponseFields.Copy(_stream.Head!.Lines, _status, null, to);
        if (_status == StatusCodes.Status101SwitchingProtocols && !Request.IsConnect)
        {
            to.Headers.SecWebSocketAccept = WebSocketAccept(Request.Context.Request.Headers.SecWebSocketKey.ToString());
        }
    }

    /// <inheritdoc/>
    public override async ValueTask<string?> CopyBodyAsync(HttpContext context)
    {
        try
        {
            if (_status is not (204 or 205 or 304) && context.Request.Method != HttpMethods.Head)
            {
                await CopyBodyAsync(context.Response);
            }
            _stream.EndDeadline();
            return null;
        }
        catch (Exception e) when (e is IOException or MalformedResponseException or SocketException
            or ObjectDisposedException or OperationCanceledException)
        {
            if (IsClientGone)
            {
                return null;
            }
            if (e is StreamResetException { Code: not Http2Error.NoError } reset)
            {
                ResetCode = (int)reset.Code;
            }
            return ExchangeFailure.OfBody(e, _stream.AbortCause, _timeouts);
        }
    }

    /// <inheritdoc/>
    public override ValueTask<int> ReadPieceAsync(PipeWriter to) => _stream.ReadAsync(to, _isFramed);

    /// <inheritdoc/>
    public override Task TunnelAsync(HttpContext context) => Tunnel.RunAsync(context, this, this, _stream.Head!.Lines, _timeouts.Idle);

    /// <inheritdoc/>
    public override ValueTask EndUploadAsync() => _upload?.EndAsync() ?? ValueTask.CompletedTask;

    /// <inheritdoc/>
    public override void Complete() => Release();

    /// <inheritdoc cref="Exchange.SetDeadline"/>
    public override void SetDeadline(TimeSpan fromNow) => _stream.SetDeadline(fromNow);

    /// <inheritdoc/>
    public void Abort(AbortCause cause) => _stream.Abort(cause);

    /// <inheritdoc/>
    public ValueTask SendAsync(ReadOnlyMemory<byte> piece, bool isLast) => _stream.SendAsync(piece, isLast);

    /// <inheritdoc/>
    public async ValueTask EndAsync(IReadOnlyList<(string Name, string Value)> trailers)
    {
        if (trailers.Count == 0)
        {
            await _stream.SendAsync(default, isLast: true);
            return;
        }
        using var block = Http2HeadWriter.Write(trailers);
        if (block.ListSize > Http2Connections.LargeHead)
        {
            await _stream.HasSettings.WaitAsync(_stream.Aborted);
        }
        if (block.ListSize > _stream.MaxHeadSize)
        {
            throw new ForwardException(ForwardError.HeadTooLarge, $"it accepts trailers of at most {_stream.MaxHeadSize} bytes");
        }
        _stream.SendTrailers(block.Written.Span);
    }

    /// <inheritdoc/>
    public void Flush() => _stream.Flush();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            Release();
        }
        base.Dispose(disposing);
    }

    // RFC 6455 section 1.3: over HTTP/1.1 the client wants its key confirmed, which the backend has not seen.
    [SuppressMessage("Security", "CA5350", Justification = "the protocol says so, and nothing secret depends on it")]
    private static string WebSocketAccept(string key) =>
        Convert.ToBase64String(SHA1.HashData(Encoding.Latin1.GetBytes(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));

    private static void AbortForClient(object? stream) => ((Http2Stream)stream!).Abort(AbortCause.Client);

    private async ValueTask CopyBodyAsync(HttpResponse response)
    {
        if (_stream.IsAllRead && _stream.Trailers is null)
        {
            return; // A head that ends the stream goes to the client as one too (gRPC: "Trailers-Only").
        }
        var to = BodyOf(response);
        _isFramed = Compressed is null && response.ContentLength is null && ClientFraming.BeginChunked(response);
        if (!_stream.HasUnread)
        {
            await BodyCopy.FlushAsync(this, to, _timeouts.Idle); // The body may take long. The head need not wait for it.
        }
        while (await ReadPieceAsync(to) is > 0 and var count)
        {
            BytesRelayed += count;
            if (_stream.IsAllRead)
            {
                break; // The rest goes out with the end.
            }
            await BodyCopy.FlushAsync(this, to, _timeouts.Idle);
        }
        await BodyCopy.WriteTrailersAsync(this, _stream.Trailers?.Lines.Trailers() ?? [], response, _isFramed);
        await BodyCopy.EndAsync(this, response, _timeouts.Idle);
    }

    private void Release()
    {
        if (!_isReleased)
        {
            _isReleased = true;
            _clientGone.Dispose();
            _superseded.Dispose();
            _stream.Dispose();
            if (!_isStarted)
            {
                _head.Dispose();
            }
        }
    }

    private ForwardException Failure(Exception e)
    {
        var (error, reason) = ExchangeFailure.Of(e, _stream.AbortCause, Request.Body, _upload, _timeouts);
        var isOfBackend = error == ForwardError.ResponseHead;
        return new ForwardException(error, reason)
        {
            IsRefused = isOfBackend && e is StreamRefusedException,
            HasServedOthers = e is StreamRefusedException { HasServedOthers: true },
            IsStale = isOfBackend && !_isFirst && !Request.WantsFreshConnection && e is not StreamResetException,
            MayBeClients = isOfBackend
                && (MayBeClients(HeadSize) || e is StreamResetException { Code: Http2Error.ProtocolError }), // RFC 9113 section 8.1.1
            IsOtherVersion = isOfBackend && _isNegotiated && e is StreamResetException { Code: Http2Error.Http11Required },
        };
    }
}
