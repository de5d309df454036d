namespace LoadBalancer.Http.Upstream;

/// <summary>The target of a client's body: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.</summary>
internal interface IUploadTarget
{
    /// <summary>Whether a body of unknown length must be sent in chunks (RFC 9112 section 7.1), which show its end.</summary>
    bool WantsChunks { get; }

    /// <summary>Cancelled when the exchange is aborted.</summary>
    CancellationToken Aborted { get; }

    /// <summary>Aborts the exchange after the time given, unless this is called again before.</summary>
    void SetDeadline(TimeSpan fromNow);

    /// <summary>Aborts the exchange; the first cause counts.</summary>
    void Abort(AbortCause cause);

    /// <summary>Sends all of it.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> data);

    /// <summary>Sends what is still buffered.</summary>
    ValueTask FlushAsync();
}
