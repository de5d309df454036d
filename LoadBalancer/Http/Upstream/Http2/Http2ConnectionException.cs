namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>The backend violates HTTP/2 in a way that ends the connection (RFC 9113 section 5.4.1).</summary>
/// <param name="code">What the backend is sent in GOAWAY.</param>
/// <param name="reason">What it did, in a few words for the log.</param>
internal sealed class Http2ConnectionException(Http2Error code, string reason) : Exception(reason)
{
    /// <summary>The error code.</summary>
    public Http2Error Code { get; } = code;
}
