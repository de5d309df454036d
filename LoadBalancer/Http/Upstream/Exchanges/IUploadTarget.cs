namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>The target of a client's body: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.</summary>
internal interface IUploadTarget
{
    /// <summary>
    /// Whether the backend may say, after a part of the body was sent, that it has not processed the request: then the part is needed
    /// again.
    /// </summary>
    bool MayRefuse { get; }

    /// <summary>
    /// Whether <see cref="EndAsync"/> tells a backend that the client of a tunnel has ended; else the connection is closed for that.
    /// </summary>
    bool CanEndTunnel { get; }

    /// <summary>Cancelled when the exchange is aborted.</summary>
    CancellationToken Aborted { get; }

    /// <summary>Aborts the exchange after the time given, unless this is called again before.</summary>
    void SetDeadline(TimeSpan fromNow);

    /// <summary>Aborts the exchange; the first cause counts.</summary>
    void Abort(AbortCause cause);

    /// <summary>Sends a part of the body.</summary>
    /// <param name="piece">The part; not empty.</param>
    /// <param name="isLast">Whether the body ends with it, without trailers.</param>
    ValueTask SendAsync(ReadOnlyMemory<byte> piece, bool isLast);

    /// <summary>Ends the body where that was not done with its last part.</summary>
    /// <exception cref="Messages.ForwardException">The trailers must not be passed on.</exception>
    ValueTask EndAsync(IReadOnlyList<(string Name, string Value)> trailers);

    /// <summary>Sends what has gathered; the next part may take long.</summary>
    void Flush();
}
