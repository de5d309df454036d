using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>
/// The writers to which a thread has added lines while it handles what was received. On an event loop they send at the end of the round,
/// when all events are handled: under load, many lines go out with one system call. On other threads they send at <see cref="Flush"/>.
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
        if (writers.Count == 1 && OperatingSystem.IsLinux() && EventLoop.Current is { } loop)
        {
            loop.AfterRound(Send);
        }
    }

    /// <summary>
    /// Sends the lines, unless this is an event loop, which does so itself. To be called after anything that may have written a line.
    /// </summary>
    public static void Flush()
    {
        if (!OperatingSystem.IsLinux() || EventLoop.Current is null)
        {
            Send();
        }
    }

    private static void Send()
    {
        // A failed send may end a session, and that may add lines for others.
        for (var i = 0; _writers is { } writers && i < writers.Count; i++)
        {
            writers[i].Flush();
        }
        _writers?.Clear();
    }
}
