using System.Net.Sockets;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Transport;

/// <summary>
/// What the accept loops of both transports do where the system has no file or memory left for another connection: they say so in the
/// log, every ten seconds at most, and try again a moment later. Nothing reports that a file has become free.
/// </summary>
/// <param name="listener">The listener's name.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Where to say so.</param>
internal sealed partial class AcceptTrouble(string listener, TimeProvider time, ILogger logger)
{
    /// <summary>How many connections may wait in the system's queue to be accepted.</summary>
    public const int Backlog = 4096;

    /// <summary>How long to wait before the next attempt.</summary>
    public static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(100);

    private readonly LogGate _gate = new(time);

    /// <summary>Connections cannot be accepted for the time being.</summary>
    public void Report(SocketException reason)
    {
        if (!_gate.TryPass())
        {
            return;
        }
        if (reason.SocketErrorCode == SocketError.TooManyOpenSockets)
        {
            LogOutOfFiles(listener);
        }
        else
        {
            LogCannotAccept(listener, reason.Message);
        }
    }

    [LoggerMessage(43, LogLevel.Warning,
        "listener '{Listener}': connections wait to be accepted, for no more files can be opened; raise the limit (ulimit -n)")]
    private partial void LogOutOfFiles(string listener);

    [LoggerMessage(44, LogLevel.Warning, "listener '{Listener}': connections wait to be accepted: {Reason}")]
    private partial void LogCannotAccept(string listener, string reason);
}
