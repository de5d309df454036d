using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>
/// The writers that a thread has given lines to while it deals with what has come. On an event loop they send when it has dealt with
/// everybody who had something to say: under load, many lines go out with one system call. Elsewhere they send when told to.
/// </summary>
internal static class Outbox
{
    [ThreadStatic]
    private static List<LineWriter>? _writers;

    /// <summary>Adds a writer that has something to send.</summary>
    public static void Add(LineWriter writer)
    {
        var writers = _writers ??= [];
        writers.Add(writer);
        if (writers.Count == 1)
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
        for (var i = 0; _writers is { } writers && i < writers.Count; i++)
        {
            writers[i].Flush();
        }
        _writers?.Clear();
    }
}
