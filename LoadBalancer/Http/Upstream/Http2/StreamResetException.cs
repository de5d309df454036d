namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>The backend has reset a stream before its response was complete.</summary>
/// <param name="code">Why, in its words.</param>
internal sealed class StreamResetException(Http2Error code) : IOException($"stream reset ({code})")
{
    /// <summary>The backend's error code.</summary>
    public Http2Error Code { get; } = code;
}
