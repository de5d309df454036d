using LoadBalancer.Pools;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// One attempt to forward a client's request, in the shape that <see cref="HttpClient"/> passes on. It carries the client's request
/// itself: <see cref="Http1Handler"/> writes that to the backend without a detour through <see cref="HttpRequestMessage.Headers"/>.
/// </summary>
internal sealed class Http1Request : HttpRequestMessage
{
    // HttpClient wants an absolute URI; nobody reads it.
    private static readonly Uri Placeholder = new("http://backend/");

    public Http1Request(HttpContext context, Backend backend, RequestBody? body)
        : base(HttpMethod.Get, Placeholder) => (Context, Backend, Body) = (context, backend, body);

    /// <summary>The client's request.</summary>
    public HttpContext Context { get; }

    /// <summary>Who is to have it.</summary>
    public Backend Backend { get; }

    /// <summary>Its body, where it has one.</summary>
    public RequestBody? Body { get; }
}

/// <summary>A response of which the head is there. Disposing it without <see cref="Complete"/> closes its connection.</summary>
internal sealed class Http1Response : HttpResponseMessage
{
    private readonly ConnectionPool _pool;
    private readonly CancellationTokenRegistration _clientGone;
    private bool _released;

    public Http1Response(ConnectionPool pool, BackendConnection connection, ResponseHead head, Task? upload, CancellationTokenRegistration clientGone)
        : base((System.Net.HttpStatusCode)head.Status) =>
        (_pool, Connection, Head, Upload, _clientGone) = (pool, connection, head, upload, clientGone);

    /// <summary>Where the rest comes from.</summary>
    public BackendConnection Connection { get; }

    /// <summary>The head; its fields are in the connection's <see cref="BackendConnection.Headers"/>.</summary>
    public ResponseHead Head { get; }

    /// <summary>The sending of the request's body, which may go on while the response comes in.</summary>
    public Task? Upload { get; }

    /// <summary>
    /// Returns when the upload has ended. Where the response was over first, the upload is broken off: the backend has said all it has
    /// to say (RFC 9112 section 9.5).
    /// </summary>
    public async ValueTask EndUploadAsync()
    {
        if (Upload is not null)
        {
            if (!Upload.IsCompleted)
            {
                Connection.Abort(AbortCause.AnsweredEarly);
            }
            await Http1Handler.EndAsync(Upload);
        }
    }

    /// <summary>The whole response was read: its connection may serve the next request.</summary>
    public void Complete()
    {
        _released = true;
        _clientGone.Dispose();
        if (Head.KeepAlive && Upload is null or { IsCompletedSuccessfully: true })
        {
            _pool.Return(Connection);
        }
        else
        {
            _pool.Drop(Connection);
        }
    }

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
}
