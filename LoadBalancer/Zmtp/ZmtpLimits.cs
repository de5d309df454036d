namespace LoadBalancer.Zmtp;

/// <summary>
/// What a socket accepts from its peers and keeps for them. A peer that exceeds a limit is disconnected, unless the limit says otherwise.
/// </summary>
public sealed record ZmtpLimits
{
    /// <summary>The longest frame of a message, in bytes; 1 MiB.</summary>
    public int FrameBytes { get; init; } = 1024 * 1024;

    /// <summary>The most frames of a message, envelope included; 64.</summary>
    public int FramesPerMessage { get; init; } = 64;

    /// <summary>The longest message, in bytes of all its frames together; 4 MiB.</summary>
    public int MessageBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>The longest command, in bytes; 8 KiB.</summary>
    public int CommandBytes { get; init; } = 8 * 1024;

    /// <summary>
    /// The high-water mark: how many messages wait for one peer; 1000, as in libzmq. Beyond it, published messages
    /// are dropped. On other sockets the peer is disconnected: it does not read, and must learn that it will get no answer.
    /// </summary>
    public int QueueMessages { get; init; } = 1000;

    /// <summary>The high-water mark in bytes; 16 MiB.</summary>
    public int QueueBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>
    /// How many bytes of what only the peer has caused, such as answers to its PINGs, wait for it; 64 KiB. Beyond that nothing more is read
    /// from it until it has read them.
    /// </summary>
    public int OwnBytes { get; init; } = 64 * 1024;

    /// <summary>
    /// How many bytes all peers together have in buffers: what waits because they do not read, and messages that have arrived in part;
    /// 256 MiB. Beyond that the peer with the most is disconnected.
    /// </summary>
    public long BufferedBytes { get; init; } = 256 * 1024 * 1024;

    /// <summary>How many different subscriptions one peer has; 10 000.</summary>
    public int SubscriptionsPerPeer { get; init; } = 10_000;

    /// <summary>How many different subscriptions all peers have together; 100 000.</summary>
    public int Subscriptions { get; init; } = 100_000;

    /// <summary>
    /// How long the different subscriptions of all peers are together, in bytes; 4 MiB. A publisher that connects is sent all of them, so
    /// they must fit into <see cref="QueueBytes"/>.
    /// </summary>
    public int AllSubscriptionBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>The longest subscription, in bytes; 256.</summary>
    public int SubscriptionBytes { get; init; } = 256;

    /// <summary>How many connections a socket has; 10 000. Another one is closed at once.</summary>
    public int Connections { get; init; } = 10_000;

    /// <summary>How long a handshake, or an attempt to connect, may take; 10 s.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a peer may read none of the bytes that wait for it; 30 s.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long a peer of ZMTP 3.1 may be silent before it is sent a PING. After the same time again without an answer it is disconnected.
    /// 30 s; zero or less means never. Peers of older versions get no PING, because they do not know the command.
    /// </summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long to wait before connecting again after the first failure; 100 ms. Doubles with each further one.</summary>
    public TimeSpan FirstReconnectDelay { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>How long it waits at most; 2 s.</summary>
    public TimeSpan LongestReconnectDelay { get; init; } = TimeSpan.FromSeconds(2);
}
