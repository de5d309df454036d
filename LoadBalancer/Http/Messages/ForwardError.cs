using LoadBalancer.Pools;

namespace LoadBalancer.Http.Messages;

/// <summary>Why a request could not be forwarded: the phase in which it failed, and the side that failed.</summary>
public enum ForwardError
{
    /// <summary>No backend of the pool is eligible.</summary>
    NoBackend,

    /// <summary>Every eligible backend is at its limit, and the queue is full or there is none.</summary>
    Busy,

    /// <summary>Every eligible backend stayed at its limit until the request's time in the queue was over.</summary>
    QueueTimeout,

    /// <summary>A method that a reverse proxy does not forward: CONNECT, TRACE.</summary>
    Method,

    /// <summary>The head of the request can be read in more than one way.</summary>
    RequestHead,

    /// <summary>The target of the request is longer than a request line may be.</summary>
    TargetTooLong,

    /// <summary>The head of the request has too many fields, or is too large.</summary>
    HeadTooLarge,

    /// <summary>The client's address is not allowed.</summary>
    AddressDenied,

    /// <summary>The client has not proved who it is.</summary>
    Unauthenticated,

    /// <summary>The client has proved who it is, and that is not enough.</summary>
    Forbidden,

    /// <summary>Whether the client is who it says cannot be checked now.</summary>
    AuthenticationUnavailable,

    /// <summary>The client sends too many requests.</summary>
    TooManyRequests,

    /// <summary>The body has a transfer coding that is not supported.</summary>
    TransferCoding,

    /// <summary>The request has come through this load balancer too often.</summary>
    Loop,

    /// <summary>This process has no file descriptor or port left for a connection.</summary>
    Exhausted,

    /// <summary>The backend's name has no address.</summary>
    Dns,

    /// <summary>The backend could not be connected to.</summary>
    Connect,

    /// <summary>The backend took too long to accept the connection.</summary>
    ConnectTimeout,

    /// <summary>The backend's certificate is not trusted, or the TLS handshake failed.</summary>
    Tls,

    /// <summary>The client wants a WebSocket over HTTP/2, or the backend speaks HTTP/2, and does not accept it.</summary>
    Upgrade,

    /// <summary>The backend closed the connection before the head of its response was complete.</summary>
    ResponseHead,

    /// <summary>The backend's response is not valid HTTP.</summary>
    ResponseMalformed,

    /// <summary>The backend took too long to answer.</summary>
    ResponseTimeout,

    /// <summary>This program has failed in a way that it does not expect.</summary>
    Internal,

    /// <summary>The client went away, so there is no one to respond to.</summary>
    ClientGone,

    /// <summary>The client's body is malformed, or ended early.</summary>
    RequestBody,

    /// <summary>The client's body is larger than the listener allows.</summary>
    RequestTooLarge,

    /// <summary>The client stopped sending in the middle of its request.</summary>
    RequestTimeout,
}

/// <summary>How a <see cref="ForwardError"/> is reported to the client, and what it means for the backend.</summary>
internal static class ForwardErrors
{
    /// <summary>The status, the one line of the body, and the error type of RFC 9209 section 2.3 for <c>Proxy-Status</c>.</summary>
    public static (int Status, string Message, string ProxyStatus) Response(this ForwardError error) => error switch
    {
        ForwardError.NoBackend => (503, "No backend available", "destination_unavailable"),
        ForwardError.Busy or ForwardError.QueueTimeout => (503, "No backend available", "connection_limit_reached"),
        ForwardError.Method => (405, "This method is not forwarded", "http_request_error"),
        ForwardError.RequestHead => (400, "The request is malformed", "http_request_error"),
        ForwardError.TargetTooLong => (414, "The target of the request is too long", "http_request_error"),
        ForwardError.HeadTooLarge => (431, "The head of the request is too large", "http_request_error"),
        ForwardError.AddressDenied => (403, "Access from this address is not allowed", "http_request_denied"),
        ForwardError.Unauthenticated => (401, "Authentication is required", "http_request_denied"),
        ForwardError.Forbidden => (403, "Access is not allowed", "http_request_denied"),
        ForwardError.AuthenticationUnavailable => (503, "Authentication is not available", "proxy_internal_error"),
        ForwardError.TooManyRequests => (429, "Too many requests", "http_request_denied"),
        ForwardError.TransferCoding => (501, "This transfer coding is not supported", "http_request_error"),
        ForwardError.Exhausted => (503, "The load balancer has no connection to spare", "proxy_internal_error"),
        ForwardError.Loop => (508, "The request came back to this load balancer too often", "proxy_loop_detected"),
        ForwardError.Dns => (502, "The backend's address could not be found", "dns_error"),
        ForwardError.Connect => (502, "The backend could not be reached", "connection_refused"),
        ForwardError.ConnectTimeout => (504, "The backend could not be reached in time", "connection_timeout"),
        ForwardError.Tls => (502, "No secure connection to the backend", "tls_certificate_error"),
        ForwardError.Upgrade => (502, "The backend does not accept this WebSocket", "http_upgrade_failed"),
        ForwardError.ResponseHead => (502, "The backend closed the connection without an answer", "connection_terminated"),
        ForwardError.ResponseMalformed => (502, "The backend sent an invalid answer", "http_protocol_error"),
        ForwardError.ResponseTimeout => (504, "The backend did not answer in time", "http_response_timeout"),
        ForwardError.Internal => (502, "The load balancer could not forward the request", "proxy_internal_error"),
        ForwardError.ClientGone => (499, "The client closed the connection", "http_request_error"),
        ForwardError.RequestBody => (400, "The request is incomplete or malformed", "http_request_error"),
        ForwardError.RequestTooLarge => (413, "The request body is too large", "http_request_error"),
        ForwardError.RequestTimeout => (408, "The request took too long to arrive", "http_request_error"),
        _ => throw new ArgumentOutOfRangeException(nameof(error), error, null),
    };

    /// <summary>Details for the operator that the client does not get; null where there are none.</summary>
    public static string? Cause(this ForwardError error) => error switch
    {
        ForwardError.Busy => "every backend is at its MaxInFlight, and the queue is full",
        ForwardError.QueueTimeout => "every backend stayed at its MaxInFlight until the request's time in the queue was over",
        _ => null,
    };

    /// <summary>The status code of gRPC for an error that its clients should be able to tell apart; null for others.</summary>
    public static int? GrpcStatus(this ForwardError error) => error switch
    {
        ForwardError.Unauthenticated => 16, // UNAUTHENTICATED
        ForwardError.AddressDenied or ForwardError.Forbidden => 7, // PERMISSION_DENIED
        ForwardError.TooManyRequests or ForwardError.Busy or ForwardError.QueueTimeout => 8, // RESOURCE_EXHAUSTED
        ForwardError.ResponseTimeout or ForwardError.ConnectTimeout => 4, // DEADLINE_EXCEEDED
        _ => error.Response().Status is 502 or 503 ? 14 : null, // UNAVAILABLE
    };

    /// <summary>How it is counted, where it counts against the backend.</summary>
    public static FailureKind FailureKind(this ForwardError error) => error switch
    {
        ForwardError.ConnectTimeout or ForwardError.ResponseTimeout => Pools.FailureKind.Timeout,
        ForwardError.ResponseHead => Pools.FailureKind.Reset,
        ForwardError.ResponseMalformed => Pools.FailureKind.Malformed,
        _ => Pools.FailureKind.Connect,
    };

    /// <summary>What it means for the backend. A client's fault never counts against it.</summary>
    public static AttemptOutcome Outcome(this ForwardError error) => error switch
    {
        ForwardError.Dns or ForwardError.Connect or ForwardError.ConnectTimeout or ForwardError.Tls => AttemptOutcome.ConnectFailed,
        ForwardError.ResponseHead or ForwardError.ResponseMalformed or ForwardError.ResponseTimeout => AttemptOutcome.Failed,
        _ => AttemptOutcome.Abandoned,
    };
}
