namespace LoadBalancer.Http.Upstream;

/// <summary>Where a client's body goes: a connection, or one stream of a connection that many share.</summary>
internal interface IUploadTarget
{
    /// <summary>Whether a body of unknown length must be cut into chunks (RFC 9112 section 7.1), because nothing else would show its end.</summary>
    bool WantsChunks { get; }

    /// <summary>Cancelled when the exchange is aborted.</summary>
    CancellationToken Aborted { get; }

    /// <summary>From now on the exchange is aborted unless this is called again within the time given.</summary>
    void SetDeadline(TimeSpan fromNow);

    /// <summary>Breaks the exchange off; the first cause given stands.</summary>
    void Abort(AbortCause cause);

    /// <summary>Sends all of it.</summary>
    ValueTask SendAsync(ReadOnlyMemory<byte> data);

    /// <summary>Sees to it that what was sent is on its way, and not waiting for more.</summary>
    ValueTask FlushAsync();
}
