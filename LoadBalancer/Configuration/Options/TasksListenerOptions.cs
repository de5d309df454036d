using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>A listener that hands tasks to workers that register.</summary>
public sealed record TasksListenerOptions() : ListenerOptions(ListenerProtocol.Tasks)
{
    /// <summary>Where workers register: <c>tcp://127.0.0.1:8889</c>. Required.</summary>
    public EndpointAddress WorkerAddress { get; init; } = null!;

    /// <summary>How long a worker may keep a task before another worker gets it. Default 1 min.</summary>
    public TimeSpan TaskTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How many workers are given the same task at most, one after the other. Default 3.</summary>
    public int MaxAttempts { get; init; } = 3;

    /// <summary>How many tasks may wait for a worker; a further one is rejected. Default 10,000.</summary>
    public int QueueLimit { get; init; } = 10_000;

    /// <summary>
    /// The longest line, in bytes without its end; a peer that sends a longer one gets an error and is disconnected. Default 64 KiB.
    /// </summary>
    public int MaxLineLength { get; init; } = 64 * 1024;

    /// <summary>
    /// How many bytes all clients together may have in buffers, because they do not read or because their lines are not complete, and all
    /// workers together too; beyond that the one with the most is disconnected. Default 256 MiB.
    /// </summary>
    public long MaxBufferedBytes { get; init; } = 256 * 1024 * 1024;

    /// <summary>
    /// How long a client may take until its first valid line, and a worker until it has registered; then the connection is closed.
    /// Default 30 s.
    /// </summary>
    public TimeSpan FirstLineTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where tasks wait. Default: in this process.</summary>
    public TaskQueueOptions Queue { get; init; } = new();

    internal override IEnumerable<EndpointAddress> Addresses => [Address, WorkerAddress];

    internal override bool HasWorkers => true;

    internal override IEnumerable<EndpointAddress> AddressesToItsEnd => [WorkerAddress];

    // Pool is not among them: the workers have joined the pool that the listener began with.
    private protected override IReadOnlyList<string> Reloadable =>
        [nameof(MaxConnections), nameof(TaskTimeout), nameof(MaxAttempts), nameof(QueueLimit), nameof(MaxBufferedBytes)];
}
