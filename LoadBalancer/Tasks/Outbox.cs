using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>
/// The writers to which a thread has added lines while it handles what was received. On an event loop they send at the end of the round,
/// when all events are handled: under load, many lines go out with one system call. On other threads they send at <see cref="Flush"/>.
/// </summary>
internal static class Outbox
{
    [ThreadStatic]
    private static List<SendQueue>? _queues;

    /// <summary>Adds a queue that has something to send.</summary>
    public static void Add(SendQueue queue)
    {
        var queues = _queues ??= [];
        queues.Add(queue);
        if (queues.Count == 1)
        {
            IoThread.TryRunAfterRound(Send);
        }
    }

    /// <summary>
    /// Sends the lines, unless this is an event loop, which does so itself. To be called after anything that may have written a line.
    /// </summary>
    public static void Flush()
    {
        if (!IoThread.IsEventLoop)
        {
            Send();
        }
    }

    private static void Send()
    {
        // A failed send may end a session, and that may add lines for others.
        for (var i = 0; _queues is { } queues && i < queues.Count; i++)
        {
            queues[i].Flush();
        }
        _queues?.Clear();
    }
}
