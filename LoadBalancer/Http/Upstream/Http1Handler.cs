using System.Collections.Concurrent;
using System.Net.Sockets;
using LoadBalancer.Configuration;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// HTTP/1.1 towards the backends of one pool, beneath <see cref="HttpClient"/>. The framework's own handler cannot answer while an
/// upload still runs, hides 1xx answers and what makes a response malformed, and costs a third more for each request.
/// </summary>
internal sealed class Http1Handler : HttpMessageHandler
{
    // What waits for a deadline is let down at most this much later.
    private static readonly TimeSpan SweepInterval = TimeSpan.FromMilliseconds(250);

    private readonly ConcurrentDictionary<Backend, ConnectionPool> _pools = new();
    private readonly TimeoutOptions _timeouts;
    private readonly TimeProvider _time;
    private readonly ITimer _sweep;

    public Http1Handler(TimeoutOptions timeouts, TimeProvider time)
    {
        (_timeouts, _time) = (timeouts, time);
        _sweep = time.CreateTimer(_ => Sweep(), null, SweepInterval, SweepInterval);
    }

    /// <summary>Sends an <see cref="Http1Request"/> and returns an <see cref="Http1Response"/> as soon as the response's head is there.</summary>
    /// <exception cref="ForwardException">There is no such head.</exception>
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage message, CancellationToken cancellationToken)
    {
        var request = (Http1Request)message;
        var pool = _pools.GetOrAdd(request.Backend, static (backend, self) => new ConnectionPool(backend.Address, self._timeouts, self._time), this);
        while (true)
        {
            var connection = pool.TryTake() ?? await pool.OpenAsync(request.Context.RequestAborted);
            var clientGone = request.Context.RequestAborted.UnsafeRegister(static state => ((BackendConnection)state!).Abort(AbortCause.Client), connection);
            Task? upload = null;
            var sent = false;
            Exception failure;
            try
            {
                using (var head = RequestHeadWriter.Write(request))
                {
                    await connection.SendAsync(head.Written);
                }
                sent = true;
                if (request.Body is null)
                {
                    connection.SetDeadline(_timeouts.Response);
                }
                else
                {
                    upload = UploadAsync(request.Body, connection);
                }
                while (true)
                {
                    var length = ResponseHead.TryParse(connection.Unread, connection.Headers, out var head);
                    if (length > 0)
                    {
                        connection.Consume(length);
                        if (head.Status >= 200)
                        {
                            connection.SetDeadline(_timeouts.Idle);
                            return new Http1Response(pool, connection, head, upload, clientGone);
                        }
                    }
                    else if (!await connection.FillAsync())
                    {
                        throw new IOException("connection closed");
                    }
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or MalformedResponseException or OperationCanceledException)
            {
                failure = e;
            }

            // What failed here failed without a head. The connection is of no more use, and the upload must not outlive the attempt.
            var error = Classify(failure, connection, request.Body);
            var isStale = error == ForwardError.ResponseHead && connection.IsReused && connection.Unread.IsEmpty;
            connection.Abort(AbortCause.Client);
            await clientGone.DisposeAsync();
            await EndAsync(upload);
            pool.Drop(connection);
            if (!isStale || request.Body is { Consumed: true } || sent && !HttpForwarder.IsIdempotent(request.Context.Request.Method))
            {
                throw new ForwardException(error, failure is MalformedResponseException ? failure.Message : FailureReason.Of(failure));
            }
            // The backend closed an idle connection as we began to use it: nobody's fault, and another connection will do.
        }
    }

    /// <summary>Waits for an upload that was told to stop; what it stumbled over has been dealt with elsewhere.</summary>
    public static async Task EndAsync(Task? upload)
    {
        if (upload is not null)
        {
            await upload.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _sweep.Dispose();
            foreach (var pool in _pools.Values)
            {
                pool.Dispose();
            }
        }
        base.Dispose(disposing);
    }

    private async Task UploadAsync(RequestBody body, BackendConnection connection)
    {
        await body.SendAsync(connection, _timeouts.Idle);
        connection.SetDeadline(_timeouts.Response);
    }

    private static ForwardError Classify(Exception failure, BackendConnection connection, RequestBody? body) => connection.AbortCause switch
    {
        AbortCause.Client => body?.ClientFault ?? ForwardError.ClientGone,
        AbortCause.TimedOut => body is { AwaitsClient: true } ? ForwardError.RequestTimeout : ForwardError.ResponseTimeout,
        _ => failure is MalformedResponseException ? ForwardError.ResponseMalformed : ForwardError.ResponseHead,
    };

    private void Sweep()
    {
        foreach (var pool in _pools.Values)
        {
            pool.Sweep();
        }
    }
}
