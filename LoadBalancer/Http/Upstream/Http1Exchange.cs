using System.Net.Sockets;
using System.Runtime.CompilerServices;
using LoadBalancer.Configuration;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// One attempt to forward a client's request, in the shape that <see cref="HttpClient"/> passes on. It carries the client's request
/// itself: it is written to the backend without a detour through <see cref="HttpRequestMessage.Headers"/>.
/// </summary>
internal sealed class Http1Request(HttpContext context, Backend backend, RequestBody? body, bool isPeerTrusted) : HttpRequestMessage(HttpMethod.Get, Placeholder)
{
    // HttpClient wants an absolute URI; nobody reads it.
    private static readonly Uri Placeholder = new("http://backend/");

    /// <summary>The client's request.</summary>
    public HttpContext Context => context;

    /// <summary>Who is to have it.</summary>
    public Backend Backend => backend;

    /// <summary>Its body, where it has one.</summary>
    public RequestBody? Body => body;

    /// <summary>Whether an idle connection is not good enough: one has just proved dead.</summary>
    public bool WantsFreshConnection { get; init; }

    /// <summary>Whether the peer's word on who the client is counts.</summary>
    public bool IsPeerTrusted => isPeerTrusted;

    /// <summary>
    /// Whether the client asks for another protocol on this connection. HTTP/2 is not among them: an offer of h2c is between the
    /// client and us (RFC 9113 has withdrawn it, too).
    /// </summary>
    public bool IsUpgrade { get; } = context.Request.Headers.Upgrade.Count > 0
        && context.Features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: true }
        && !context.Request.Headers.Upgrade.Any(line => line!.Contains("h2c", StringComparison.OrdinalIgnoreCase));

    /// <summary>Whether the client holds its body back until somebody says that it is wanted.</summary>
    public bool ExpectsContinue =>
        Body is not null && string.Equals(Context.Request.Headers.Expect, "100-continue", StringComparison.OrdinalIgnoreCase);
}

/// <summary>
/// A request on its way over one connection, and its response. <see cref="HttpClient"/> returns it as soon as the request's head was
/// sent, nearly always without having waited for anything: whoever wants the response's head awaits <see cref="ReadHeadAsync"/>,
/// without the client's and the handler's state machines in between. Disposing it without <see cref="Complete"/> closes its connection.
/// </summary>
internal sealed class Http1Exchange : HttpResponseMessage
{
    // RFC 9110 section 10.1.1: a backend may not know of 100 (Continue). That is how long curl waits before it sends unasked.
    private static readonly TimeSpan ContinuePatience = TimeSpan.FromSeconds(1);

    private readonly Http1Request _request;
    private readonly ConnectionPool _pool;
    private readonly TimeoutOptions _timeouts;
    private readonly CancellationTokenRegistration _clientGone;
    private Task? _upload;
    private ITimer? _patience;
    private bool _uploadDecided; // begun, or no longer wanted; under the body's lock
    private bool _released;

    public Http1Exchange(Http1Request request, ConnectionPool pool, BackendConnection connection, TimeoutOptions timeouts)
    {
        (_request, _pool, Connection, _timeouts) = (request, pool, connection, timeouts);
        _clientGone = request.Context.RequestAborted.UnsafeRegister(static state => ((BackendConnection)state!).Abort(AbortCause.Client), connection);
    }

    /// <summary>What the exchange goes over.</summary>
    public BackendConnection Connection { get; }

    /// <summary>The response's head, once it was read; its fields are in the connection's <see cref="BackendConnection.Headers"/>.</summary>
    public ResponseHead Head { get; private set; }

    /// <summary>How many bytes of the response's body went on to the client.</summary>
    public long BytesRelayed { get; set; }

    /// <summary>Whether the head of the request was sent.</summary>
    public bool IsSent { get; private set; }

    /// <summary>Whether the client held its body back, and was not told to send it.</summary>
    public bool IsUploadRefused => _request.Body is not null && _upload is null;

    /// <summary>Whether we wait for the client to take what was sent to it, rather than for the backend.</summary>
    public bool AwaitsClient { get; set; }

    /// <summary>Whether the client went away, fell silent, or sent a broken message.</summary>
    public bool IsClientGone =>
        Connection.AbortCause == AbortCause.Client || Connection.AbortCause == AbortCause.TimedOut && (AwaitsClient || _request.Body is { AwaitsClient: true });

    /// <summary>Sends the head of the request, and sets the body going.</summary>
    /// <exception cref="ForwardException">There is something in it that must not be passed on.</exception>
    /// <returns>False where the backend had closed the idle connection: nothing was sent, and another connection will do.</returns>
    public ValueTask<bool> TrySendAsync()
    {
        var head = RequestHeadWriter.Write(_request);
        var sending = Connection.SendAsync(head.Written);
        if (!sending.IsCompletedSuccessfully)
        {
            return EndSendingAsync(sending, head);
        }
        head.Dispose();
        BeginUpload();
        return new(true);
    }

    /// <summary>Waits for the head of the response; interim responses (1xx) are passed over.</summary>
    /// <exception cref="ForwardException">There will be none.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask ReadHeadAsync()
    {
        Exception failure;
        try
        {
            while (true)
            {
                var length = ResponseHead.TryParse(Connection.Unread, Connection.Headers, out var head);
                if (length > 0)
                {
                    Connection.Consume(length);
                    if (head.Status == 100)
                    {
                        DecideUpload(start: true);
                    }
                    else if (head.Status == 101 && !_request.IsUpgrade)
                    {
                        throw new MalformedResponseException("it changes the protocol, and nobody asked for that");
                    }
                    else if (head.Status is 101 or >= 200)
                    {
                        DecideUpload(start: false); // One that has not begun by now is not wanted.
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
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or MalformedResponseException)
        {
            failure = e;
        }
        throw Failure(failure);
    }

    /// <summary>
    /// Returns when the upload has ended. Where the response was over first, the upload is broken off: the backend has said all it has
    /// to say (RFC 9112 section 9.5).
    /// </summary>
    public async ValueTask EndUploadAsync()
    {
        DecideUpload(start: false);
        _patience?.Dispose();
        if (_upload is not null)
        {
            if (!_upload.IsCompleted)
            {
                Connection.Abort(AbortCause.AnsweredEarly);
            }
            // What it stumbled over has been seen by whoever reads the response, or is of no consequence.
            await _upload.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>The whole response was read: its connection may serve the next request.</summary>
    public void Complete()
    {
        _released = true;
        _clientGone.Dispose();
        // A backend that was promised a body and got none cannot tell where the next request begins.
        // And who sends a body with 205 (Reset Content) will be misunderstood.
        if (Head.KeepAlive && Head.Status is not (101 or 205) && !IsUploadRefused && _upload is null or { IsCompletedSuccessfully: true })
        {
            _pool.Return(Connection);
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
            _pool.Drop(Connection);
        }
        base.Dispose(disposing);
    }

    private async ValueTask<bool> EndSendingAsync(ValueTask sending, RequestHeadWriter head)
    {
        try
        {
            await sending;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
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
        if (_request.ExpectsContinue)
        {
            _patience = Connection.Time.CreateTimer(_ => DecideUpload(start: true), null, ContinuePatience, Timeout.InfiniteTimeSpan);
        }
        else
        {
            DecideUpload(start: true);
        }
    }

    // The first decision stands, be it the backend's, or that of a timer when the backend says nothing.
    private void DecideUpload(bool start)
    {
        if (_request.Body is { } body)
        {
            lock (body)
            {
                _upload = start && !_uploadDecided ? UploadAsync(body) : _upload;
                _uploadDecided = true;
            }
        }
    }

    private async Task UploadAsync(RequestBody body)
    {
        await body.SendAsync(Connection, _timeouts.Idle);
        if (Head.Status == 0)
        {
            Connection.SetDeadline(_timeouts.Response);
        }
    }

    private ForwardException Failure(Exception e)
    {
        var body = _request.Body;
        var error = Connection.AbortCause switch
        {
            AbortCause.Client => body?.ClientFault ?? ForwardError.ClientGone,
            AbortCause.TimedOut => body is { AwaitsClient: true } ? ForwardError.RequestTimeout : ForwardError.ResponseTimeout,
            _ => e is MalformedResponseException ? ForwardError.ResponseMalformed : ForwardError.ResponseHead,
        };
        return new ForwardException(error, e is MalformedResponseException ? e.Message : FailureReason.Of(e))
        {
            IsStale = error == ForwardError.ResponseHead && Connection.IsReused && Connection.Unread.IsEmpty,
        };
    }
}
