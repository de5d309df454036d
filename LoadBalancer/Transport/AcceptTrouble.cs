using System.Net.Sockets;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Transport;

/// <summary>
/// For the accept loops of both transports when the system has no file or memory left for another connection: logs it, at most once in
/// ten seconds. The loops try again after <see cref="RetryDelay"/>, because no event reports that a file has become free.
/// </summary>
/// <param name="listener">The listener's name.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">The logger.</param>
internal sealed partial class AcceptTrouble(string listener, TimeProvider time, ILogger logger)
{
    /// <summary>How many connections may wait in the system's queue to be accepted.</summary>
    public const int Backlog = 4096;

    /// <summary>How long to wait before the next attempt.</summary>
    public static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(100);

    private readonly LogGate _gate = new(time);

    /// <summary>Logs that connections cannot be accepted at the moment.</summary>
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
        "listener '{Listener}': connections wait to be accepted, because too few files are left; raise the limit (ulimit -n)")]
    private partial void LogOutOfFiles(string listener);

    [LoggerMessage(44, LogLevel.Warning, "listener '{Listener}': connections wait to be accepted: {Reason}")]
    private partial void LogCannotAccept(string listener, string reason);
}
