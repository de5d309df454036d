using LoadBalancer.Pools;

namespace LoadBalancer.Http.Messages;

/// <summary>Why a request could not be forwarded whole: the phase in which it broke, and on which side.</summary>
public enum ForwardError
{
    /// <summary>Nobody in the pool is eligible.</summary>
    NoBackend,

    /// <summary>Everybody eligible is full, and so is the queue, if there is one.</summary>
    Busy,

    /// <summary>Everybody eligible stayed full for as long as a request may wait.</summary>
    QueueTimeout,

    /// <summary>A method that a reverse proxy does not forward: CONNECT, TRACE.</summary>
    Method,

    /// <summary>The head of the request can be read in more than one way.</summary>
    RequestHead,

    /// <summary>The body comes in a coding that we do not know.</summary>
    TransferCoding,

    /// <summary>The request has come through this load balancer too often.</summary>
    Loop,

    /// <summary>We ran out of files or ports, so nobody could be connected to.</summary>
    Exhausted,

    /// <summary>The backend could not be connected to.</summary>
    Connect,

    /// <summary>The backend took too long to accept the connection.</summary>
    ConnectTimeout,

    /// <summary>The backend could not prove who it is, or speaks no TLS.</summary>
    Tls,

    /// <summary>The backend broke off before the head of its response was there.</summary>
    ResponseHead,

    /// <summary>What the backend sent is no HTTP response.</summary>
    ResponseMalformed,

    /// <summary>The backend took too long to answer.</summary>
    ResponseTimeout,

    /// <summary>The client went away; nobody is left to answer.</summary>
    ClientGone,

    /// <summary>The client's message is broken, or ended early.</summary>
    RequestBody,

    /// <summary>The client's body is larger than the listener allows.</summary>
    RequestTooLarge,

    /// <summary>The client stopped sending in the middle of its request.</summary>
    RequestTimeout,
}

/// <summary>What the client is told about a <see cref="ForwardError"/>, and what it says about the backend.</summary>
internal static class ForwardErrors
{
    /// <summary>The status, the one line of the body, and the error type of RFC 9209 section 2.3 for <c>Proxy-Status</c>.</summary>
    public static (int Status, string Message, string ProxyStatus) Answer(this ForwardError error) => error switch
    {
        ForwardError.NoBackend => (503, "No backend available", "destination_unavailable"),
        ForwardError.Busy or ForwardError.QueueTimeout => (503, "No backend available", "connection_limit_reached"),
        ForwardError.Method => (405, "This method is not forwarded", "http_request_error"),
        ForwardError.RequestHead => (400, "The request is malformed", "http_request_error"),
        ForwardError.TransferCoding => (501, "This transfer coding is not supported", "http_request_error"),
        ForwardError.Exhausted => (503, "The load balancer has no connection to spare", "proxy_internal_error"),
        ForwardError.Loop => (508, "The request came back to this load balancer too often", "proxy_loop_detected"),
        ForwardError.Connect => (502, "The backend could not be reached", "connection_refused"),
        ForwardError.ConnectTimeout => (504, "The backend could not be reached in time", "connection_timeout"),
        ForwardError.Tls => (502, "No secure connection to the backend", "tls_certificate_error"),
        ForwardError.ResponseHead => (502, "The backend closed the connection without an answer", "connection_terminated"),
        ForwardError.ResponseMalformed => (502, "The backend sent an invalid answer", "http_protocol_error"),
        ForwardError.ResponseTimeout => (504, "The backend did not answer in time", "http_response_timeout"),
        ForwardError.ClientGone => (499, "The client closed the connection", "http_request_error"),
        ForwardError.RequestBody => (400, "The request is incomplete or malformed", "http_request_error"),
        ForwardError.RequestTooLarge => (413, "The request body is too large", "http_request_error"),
        ForwardError.RequestTimeout => (408, "The request took too long to arrive", "http_request_error"),
        _ => throw new ArgumentOutOfRangeException(nameof(error), error, null),
    };

    /// <summary>What the operator should know beyond what the client is told; null where that is all.</summary>
    public static string? Cause(this ForwardError error) => error switch
    {
        ForwardError.Busy => "every backend is at its MaxInFlight, and nobody more may wait",
        ForwardError.QueueTimeout => "every backend stayed at its MaxInFlight for as long as a request may wait",
        _ => null,
    };

    /// <summary>A client's fault never counts against a backend.</summary>
    public static AttemptOutcome Outcome(this ForwardError error) => error switch
    {
        ForwardError.Connect or ForwardError.ConnectTimeout or ForwardError.Tls => AttemptOutcome.ConnectFailed,
        ForwardError.ResponseHead or ForwardError.ResponseMalformed or ForwardError.ResponseTimeout => AttemptOutcome.Failed,
        _ => AttemptOutcome.Abandoned,
    };
}
