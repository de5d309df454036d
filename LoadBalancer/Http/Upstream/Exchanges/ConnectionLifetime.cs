namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>How long connections to backends are kept, whatever their HTTP version.</summary>
internal static class ConnectionLifetime
{
    /// <summary>
    /// How long a connection may be idle: longer than most pauses between requests, shorter than most servers' keep-alive time-out (nginx
    /// 75 s, Kestrel 130 s). A server with a shorter one closes the connection, which is noticed at once.
    /// </summary>
    public static readonly TimeSpan MaxIdle = TimeSpan.FromSeconds(60);

    /// <summary>
    /// How long a connection to a name is used. The address of a name may change; then connections to the old address must end at some
    /// time.
    /// </summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(15);

    /// <summary>
    /// How long a connection may be idle whose backend says when it closes it: a second less, so that no request meets the end.
    /// </summary>
    /// <param name="announced">What the backend says, or null.</param>
    public static TimeSpan IdleOf(TimeSpan? announced) =>
        announced - TimeSpan.FromSeconds(1) is { } time && time < MaxIdle ? time : MaxIdle;
}
