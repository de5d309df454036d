using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>
/// Lines on their way to one peer. They gather until the thread that writes is done with all that it has at the moment
/// (<see cref="Outbox"/>), and go out together. Safe for several threads at once; what cannot be sent is dropped.
/// </summary>
internal sealed class LineWriter : IDisposable
{
    /// <summary>From so many waiting bytes on, nothing more should be read from the peer that causes them.</summary>
    public const int Congestion = 4 * 1024 * 1024;

    private readonly SendQueue _queue;

    /// <summary>Makes the writer of a connection.</summary>
    /// <param name="connection">The connection; only this writer sends on it.</param>
    /// <param name="sendTimeout">How long the peer may take no byte.</param>
    /// <param name="broken">Called once, with the reason, when nothing can be sent any more; on any thread.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets what fails unexpectedly.</param>
    /// <param name="share">Counts what waits because the peer does not read; null if nothing counts it.</param>
    public LineWriter(
        IConnection connection, TimeSpan sendTimeout, Action<string> broken, TimeProvider time, ILogger logger,
        BufferShare? share = null) =>
        _queue = new SendQueue(
            connection, SendLimits.None, sendTimeout, Outbox.Add,
            reason => broken(reason?.Message ?? $"it has read nothing for {sendTimeout}"), time, logger, share);

    /// <summary>How many bytes were added and not sent yet.</summary>
    public long Unsent => _queue.Unsent;

    /// <summary>Adds a line made of these parts; its end is part of the last one.</summary>
    public void Append(
        ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default, ReadOnlySpan<byte> third = default,
        ReadOnlySpan<byte> fourth = default, ReadOnlySpan<byte> fifth = default) => _queue.Add(0, first, second, third, fourth, fifth);

    /// <summary>Sends what has gathered, unless something is being sent: then it goes after that.</summary>
    public void Flush() => _queue.Flush();

    /// <summary>Completes when all has been sent, or cannot be.</summary>
    public Task DrainAsync() => _queue.DrainAsync();

    /// <summary>Drops what has not been sent; nothing more is.</summary>
    public void Dispose() => _queue.Dispose();
}
