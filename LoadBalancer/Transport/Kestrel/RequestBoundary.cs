namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Whether a client's HTTP/1.1 connection is certainly between two requests, which takes two sides to know: the server
/// reports that a request is over and left nothing unread, and the reader reports that bytes have arrived since.
/// </summary>
internal sealed class RequestBoundary
{
    private volatile bool _isReached = true; // Before the first byte counts as between requests.
    private volatile bool _isTunnel;
    private int _requests;
    private long _consumed;

    /// <summary>Whether it is between requests; the socket's reader sets it to false as soon as it hands out bytes.</summary>
    public bool IsReached
    {
        get => _isReached;
        set => _isReached = value;
    }

    /// <summary>Whether the connection has a state beside its requests, so that it must not end for the server while it is idle.</summary>
    public bool HasState { get; set; }

    /// <summary>
    /// Whether a request has become a tunnel. In a tunnel the client's end is the end of one direction, which is read like its bytes.
    /// Otherwise it ends the connection for the server, whose output is then reset.
    /// </summary>
    public bool IsTunnel
    {
        get => _isTunnel;
        set => _isTunnel = value;
    }

    /// <summary>How many requests have ended.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>So many bytes were consumed.</summary>
    public void Consume(int bytes) => _consumed += bytes;

    /// <summary>
    /// How many bytes were consumed since the last call. Of HTTP/1.1, called when the head of a request is read, that is at least its
    /// length.
    /// </summary>
    public long TakeConsumed()
    {
        var consumed = _consumed;
        _consumed = 0;
        return consumed;
    }

    /// <summary>
    /// A request is over. If it might have a body, a part of that may still arrive; if it might have been upgraded, any bytes may.
    /// </summary>
    /// <param name="mightHaveBody">Whether either may be so.</param>
    public void EndRequest(bool mightHaveBody)
    {
        _requests++;
        _isReached = !HasState && !mightHaveBody;
    }
}
