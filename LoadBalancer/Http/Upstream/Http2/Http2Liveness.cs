using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Whether a connection's backend is there, and whether the connection is still of use. With the connection's lock.
/// </summary>
internal sealed class Http2Liveness
{
    // A backend that is silent this long while a request waits is asked whether it is there.
    private static readonly TimeSpan QuietTime = TimeSpan.FromSeconds(10);

    // gRPC servers end a connection (GOAWAY, "too_many_pings") that PINGs more often than this while they have nothing to send.
    private static readonly TimeSpan PingPause = TimeSpan.FromMinutes(5);

    private readonly TimeProvider _time;
    private long _lastFrameAt;
    private long _lastStreamAt;
    private long? _pingSentAt;
    private long _lastPingAt;
    private bool _hasNews = true; // since the last PING: a stream was started, or a response has gone on

    public Http2Liveness(TimeProvider time)
    {
        _time = time;
        _lastFrameAt = _lastStreamAt = time.GetTimestamp();
    }

    /// <summary>How long the answer to a PING may take.</summary>
    public static TimeSpan PingTimeout { get; } = TimeSpan.FromSeconds(5);

    /// <summary>Whether an answer to a PING is awaited. Until then it is not known whether the backend is there.</summary>
    public bool IsAsked => _pingSentAt is not null;

    /// <summary>The backend has sent something.</summary>
    public void NoteFrames() => _lastFrameAt = _time.GetTimestamp();

    /// <summary>A response has gone on.</summary>
    public void NoteProgress() => _hasNews = true;

    /// <summary>A stream is started.</summary>
    /// <param name="isOnly">Whether there is no other.</param>
    public void NoteStart(bool isOnly)
    {
        if (isOnly || !_hasNews)
        {
            NoteFrames(); // Nothing was to be expected until now.
        }
        _hasNews = true;
    }

    /// <summary>A stream has ended.</summary>
    public void NoteEnd() => _lastStreamAt = _time.GetTimestamp();

    /// <summary>A PING is sent.</summary>
    public void NotePing()
    {
        _pingSentAt = _lastPingAt = _time.GetTimestamp();
        _hasNews = false;
    }

    /// <summary>The backend has answered it.</summary>
    public void NoteAnswer() => _pingSentAt = null;

    /// <summary>Whether the answer to a PING is overdue.</summary>
    public bool IsDead(long now) => _pingSentAt is { } sentAt && _time.GetElapsedTime(sentAt, now) >= PingTimeout;

    /// <summary>Whether the backend should be asked, if a request waits.</summary>
    public bool IsSilent(long now) => _time.GetElapsedTime(_lastFrameAt, now) >= QuietTime
        && (_hasNews || _time.GetElapsedTime(_lastPingAt, now) >= PingPause);

    /// <summary>Whether a connection without streams has been so for too long.</summary>
    public bool IsIdle(long now) => _time.GetElapsedTime(_lastStreamAt, now) >= ConnectionLifetime.MaxIdle;
}
