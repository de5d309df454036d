using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>
/// An exchange over an HTTP/1.1 connection. Disposing it without <see cref="Complete"/> closes the connection.
/// </summary>
internal sealed class Http1Exchange : Exchange
{
    private readonly Http1Connections _pool;
    private readonly TimeoutOptions _timeouts;
    private readonly CancellationTokenRegistration _clientGone;
    private readonly CancellationTokenRegistration _superseded;
    private readonly Upload? _upload;
    private int _headSize;
    private bool _released;

    public Http1Exchange(ForwardRequest request, Http1Connections pool, Http1Connection connection, TimeoutOptions timeouts)
        : base(request, connection.Time)
    {
        (_pool, Connection, _timeouts) = (pool, connection, request.Timeouts ?? timeouts);
        _upload = request.Body is not { } body ? null
            : new Upload(this, body, new Http1Upload(connection, isChunked: body.Length is null), _timeouts);
        _clientGone = request.Context.RequestAborted.UnsafeRegister(Abort, connection);
        _superseded = request.Superseded.UnsafeRegister(Abort, connection);
    }

    /// <summary>The connection that the exchange uses.</summary>
    public Http1Connection Connection { get; }

    /// <summary>The response's head, once it was read; its fields are in <see cref="Http1Connection.Headers"/>.</summary>
    public ResponseHead Head { get; private set; }

    /// <summary>Whether the head of the request was sent.</summary>
    public bool IsSent { get; private set; }

    /// <inheritdoc/>
    public override int Status => Head.Status;

    /// <inheritdoc/>
    public override bool IsUploadRefused => _upload is { IsRefused: true };

    /// <summary>The bytes of the body still to come; <see cref="long.MaxValue"/> where the connection ends it. Not for chunks.</summary>
    public long BodyLeft { get; set; }

    /// <inheritdoc/>
    public override CancellationToken Aborted => Connection.Aborted;

    /// <inheritdoc/>
    protected override AbortCause AbortCause => Connection.AbortCause;

    /// <summary>Sends the head of the request, and starts sending the body.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    /// <returns>False where the backend had closed the idle connection: nothing was sent, and another connection can be used.</returns>
    public ValueTask<bool> TrySendAsync()
    {
        var head = RequestHeadWriter.Write(Request);
        _headSize = head.Written.Length;
        var sending = Connection.SendAsync(head.Written);
        if (!sending.IsCompletedSuccessfully)
        {
            return EndSendingAsync(sending, head);
        }
        head.Dispose();
        BeginUpload();
        return new(true);
    }

    /// <inheritdoc/>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public override async ValueTask ReadHeadAsync()
    {
        Exception failure;
        try
        {
            for (var interim = 0; interim <= MaxInterimResponses;)
            {
                var length = ResponseHead.TryParse(Connection.Unread, Connection.Headers, out var head);
                if (length > 0)
                {
                    Connection.Consume(length);
                    interim++;
                    if (head.Status == 100)
                    {
                        _upload?.Decide(start: true);
                    }
                    else if (head.Status == 101 && !Request.IsUpgrade)
                    {
                        throw new MalformedResponseException("it changes the protocol without having been asked to");
                    }
                    else if (head.Status is >= 200 and < 300 && Request.IsConnect)
                    {
                        // To the client 200 would mean that the WebSocket is open.
                        throw new ForwardException(ForwardError.Upgrade, "it ignores a WebSocket's handshake");
                    }
                    else if (head.Status is 101 or >= 200)
                    {
                        _upload?.Decide(start: false); // If it has not started by now, the backend does not want it.
                        if (head.Status == 101 && _upload is not null && !await _upload.FinishAsync())
                        {
                            throw new IOException("it changes the protocol, but has not taken the body"); // RFC 9110 section 7.8
                        }
                        Head = head;
                        Connection.SetDeadline(_timeouts.Idle);
                        return;
                    }
                }
                else if (!Connection.Received(await Connection.ReceiveAsync()))
                {
                    throw new IOException("connection closed");
                }
            }
            failure = new MalformedResponseException($"more than {MaxInterimResponses} interim responses");
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or MalformedResponseException)
        {
            failure = e;
        }
        throw Failure(failure);
    }

    /// <inheritdoc/>
    public override void CopyHead(HttpResponse to) => ResponseRelay.CopyHead(this, to);

    /// <inheritdoc/>
    public override ValueTask<string?> CopyBodyAsync(HttpContext context) => ResponseRelay.CopyBodyAsync(this, context, _timeouts);

    /// <inheritdoc/>
    public override ValueTask<int> ReadPieceAsync(PipeWriter to) =>
        Status == StatusCodes.Status101SwitchingProtocols
            ? ResponseRelay.ReadTunnelAsync(Connection, to)
            : ResponseRelay.ReadPieceAsync(this, to);

    /// <inheritdoc/>
    public override void SetDeadline(TimeSpan fromNow) => Connection.SetDeadline(fromNow);

    /// <inheritdoc/>
    public override Task TunnelAsync(HttpContext context) => Tunnel.RunAsync(
        context, this, new Http1Upload(Connection, isChunked: false), Connection.Headers, _timeouts.Idle);

    /// <inheritdoc/>
    public override ValueTask EndUploadAsync() => _upload?.EndAsync() ?? ValueTask.CompletedTask;

    /// <inheritdoc/>
    public override void Complete()
    {
        _released = true;
        _clientGone.Dispose();
        _superseded.Dispose();
        // A backend that was promised a body and got none cannot tell where the next request begins. A body after 205 (Reset Content) would
        // be taken for the next response.
        if (Head.KeepAlive && Head.Status is not (101 or 205) && !Request.IsConnect && !IsUploadRefused
            && _upload is null or { IsComplete: true })
        {
            if (Connection.IsBound || IsConnectionAuthenticated())
            {
                _pool.Bind(Connection, Head.IdleTimeout, Request.Context);
            }
            else
            {
                _pool.Return(Connection, Head.IdleTimeout);
            }
        }
        else
        {
            _pool.Drop(Connection);
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && !_released)
        {
            _released = true;
            _clientGone.Dispose();
            _superseded.Dispose();
            _pool.Drop(Connection);
        }
        base.Dispose(disposing);
    }

    // Or may be with the next request: then too it is the client's.
    private bool IsConnectionAuthenticated()
    {
        if (HeaderRules.AuthenticatesConnection(Request.Context.Request.Headers.Authorization))
        {
            return true;
        }
        for (var i = 0; Head.Status == StatusCodes.Status401Unauthorized && i < Connection.Headers.Count; i++)
        {
            var field = Connection.Headers[i];
            if (field.Name.Equals(HeaderNames.WWWAuthenticate, StringComparison.OrdinalIgnoreCase)
                && HeaderRules.AuthenticatesConnection(field.Value))
            {
                return true;
            }
        }
        return false;
    }

    private static void Abort(object? connection) => ((Http1Connection)connection!).Abort(AbortCause.Client);

    private async ValueTask<bool> EndSendingAsync(ValueTask sending, RequestHeadWriter head)
    {
        try
        {
            await sending;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException)
        {
            return Connection.IsReused && !IsClientGone ? false : throw Failure(e);
        }
        finally
        {
            head.Dispose();
        }
        BeginUpload();
        return true;
    }

    private void BeginUpload()
    {
        IsSent = true;
        Connection.SetDeadline(_timeouts.Response);
        _upload?.Begin(Request.ExpectsContinue, Connection.Time);
    }

    private ForwardException Failure(Exception e)
    {
        var (error, reason) = ExchangeFailure.Of(e, Connection.AbortCause, Request.Body, _upload, _timeouts);
        return new ForwardException(error, reason)
        {
            IsStale = error == ForwardError.ResponseHead && Connection.IsReused && Connection.Unread.IsEmpty,
            MayBeClients = error == ForwardError.ResponseHead && MayBeClients(_headSize),
        };
    }
}
