namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// The backend has not processed a request, and says so: it can be sent again whatever its method (RFC 9113 section 8.7).
/// </summary>
internal sealed class StreamRefusedException(string reason) : IOException(reason)
{
    /// <summary>See <see cref="Messages.ForwardException.HasServedOthers"/>.</summary>
    public bool HasServedOthers { get; init; }
}
