using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Whether a client's HTTP/1.1 connection is certainly between two requests, which only both sides together know: whoever runs requests
/// says that one is over and has left nothing unread, and whoever reads says that something came since.
/// </summary>
internal sealed class RequestBoundary
{
    private volatile bool _isReached = true; // Nothing was ever sent: that is between requests too.
    private int _requests;

    /// <summary>Whether it is; the socket's reader says no as soon as it hands out anything.</summary>
    public bool IsReached
    {
        get => _isReached;
        set => _isReached = value;
    }

    /// <summary>How many requests have ended.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>
    /// A request is over. Where it might have a body, something of that may be still to come; where it might have been upgraded, anything
    /// may.
    /// </summary>
    public void EndRequest(IFeatureCollection request)
    {
        _requests++;
        _isReached = request.Get<IHttpRequestBodyDetectionFeature>() is { CanHaveBody: false };
    }
}
