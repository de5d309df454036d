using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>
/// The writers that a thread has given lines to while it deals with what has come. On an event loop they send when it has dealt with
/// everybody who had something to say: under load, many lines go out with one system call. Elsewhere they send when told to.
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

    /// <summary>This thread is done with what it had to do. To be called at the end of whatever may have written a line.</summary>
    public static void Flush()
    {
        if (!IoThread.IsEventLoop)
        {
            Send();
        }
    }

    private static void Send()
    {
        // Sending may end in somebody's being gone, and in lines to others.
        for (var i = 0; _queues is { } queues && i < queues.Count; i++)
        {
            queues[i].Flush();
        }
        _queues?.Clear();
    }
}
