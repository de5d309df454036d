using LoadBalancer.Transport;

namespace LoadBalancer.Zmtp;

/// <summary>
/// Collects what a thread sends while it handles several messages: each peer's bytes are sent in one call at the end. A single request
/// is a burst of one and is not delayed.
/// </summary>
internal static class SendBurst
{
    [ThreadStatic]
    private static List<SendQueue>? _queues;

    [ThreadStatic]
    private static int _depth;

    /// <summary>Begins a burst: nothing is sent until <see cref="End"/>.</summary>
    public static void Begin() => _depth++;

    /// <summary>Sends; to be called once for each <see cref="Begin"/>, on the same thread.</summary>
    public static void End()
    {
        if (_depth > 1 || _queues is not { Count: > 0 } queues)
        {
            _depth--;
            return;
        }
        for (var i = 0; i < queues.Count; i++)
        {
            queues[i].Flush();
        }
        queues.Clear();
        _depth--;
    }

    /// <summary>Sends what waits in the queue, now or at the end of the burst.</summary>
    public static void Flush(SendQueue queue)
    {
        if (_depth == 0)
        {
            queue.Flush();
        }
        else
        {
            (_queues ??= []).Add(queue);
        }
    }
}
