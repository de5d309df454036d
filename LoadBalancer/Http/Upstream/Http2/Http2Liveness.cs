using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Whether a connection's backend is there, and whether the connection is still of use. With the connection's lock.
/// </summary>
internal sealed class Http2Liveness
{
    // A backend that is silent this long while a request waits is asked whether it is there. It is not asked often: gRPC servers end a
    // connection on which PINGs come more than three times in five minutes while they send nothing else ("too_many_pings").
    private static readonly TimeSpan FirstQuietTime = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LongestQuietTime = TimeSpan.FromMinutes(6);

    private readonly TimeProvider _time;
    private long _lastFrameAt;
    private long _lastStreamAt;
    private long? _pingSentAt;
    private TimeSpan _quietTime = FirstQuietTime;

    public Http2Liveness(TimeProvider time)
    {
        _time = time;
        _lastFrameAt = _lastStreamAt = time.GetTimestamp();
    }

    /// <summary>How long the answer to a PING may take.</summary>
    public static TimeSpan PingTimeout { get; } = TimeSpan.FromSeconds(5);

    /// <summary>Whether an answer to a PING is awaited. Until then it is not known whether the backend is there.</summary>
    public bool IsAsked => _pingSentAt is not null;

    /// <summary>The backend has sent something, or nothing was to be expected until now.</summary>
    public void NoteFrames() => _lastFrameAt = _time.GetTimestamp();

    /// <summary>The backend has sent something about a stream.</summary>
    public void NoteProgress() => _quietTime = FirstQuietTime;

    /// <summary>A stream has ended.</summary>
    public void NoteEnd() => _lastStreamAt = _time.GetTimestamp();

    /// <summary>A PING is sent.</summary>
    public void NotePing() => _pingSentAt = _time.GetTimestamp();

    /// <summary>The backend has answered it.</summary>
    public void NoteAnswer()
    {
        _pingSentAt = null;
        _quietTime = _quietTime * 6 < LongestQuietTime ? _quietTime * 6 : LongestQuietTime;
    }

    /// <summary>Whether the answer to a PING is overdue.</summary>
    public bool IsDead(long now) => _pingSentAt is { } sentAt && _time.GetElapsedTime(sentAt, now) >= PingTimeout;

    /// <summary>Whether the backend should be asked, if a request waits.</summary>
    public bool IsSilent(long now) => _time.GetElapsedTime(_lastFrameAt, now) >= _quietTime;

    /// <summary>Whether a connection without streams has been so for too long.</summary>
    public bool IsIdle(long now) => _time.GetElapsedTime(_lastStreamAt, now) >= ConnectionLifetime.MaxIdle;
}
