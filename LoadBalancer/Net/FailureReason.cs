using System.Net.Sockets;

namespace LoadBalancer.Net;

/// <summary>Why a backend could not be reached or closed a connection, in a few words that are the same everywhere.</summary>
public static class FailureReason
{
    /// <summary>The words for an exception: those of its innermost socket error, or of a time-out, or its own.</summary>
    public static string Of(Exception exception)
    {
        for (var e = exception; e is not null; e = e.InnerException)
        {
            switch (e)
            {
                case NoSuchSocketException none:
                    return none.Message;
                case SocketException socket:
                    return Of(socket.SocketErrorCode);
                case ObjectDisposedException: // by ourselves, on another thread
                    return "connection closed";
                case OperationCanceledException or TimeoutException:
                    return "timed out";
            }
        }
        return exception.GetBaseException().Message.ReplaceLineEndings(" ");
    }

    /// <summary>Whether the cause is this machine, which has no file, port or buffer left: it says nothing about a backend.</summary>
    public static bool IsLocal(Exception exception)
    {
        for (var e = exception; e is not null; e = e.InnerException)
        {
            if ((e as SocketException)?.SocketErrorCode is
                SocketError.TooManyOpenSockets or SocketError.AddressNotAvailable or SocketError.NoBufferSpaceAvailable)
            {
                return true;
            }
        }
        return false;
    }

    /// <summary>Whether the cause is a name that has no address.</summary>
    public static bool IsUnresolved(Exception exception) => exception is SocketException
    {
        SocketErrorCode: SocketError.HostNotFound or SocketError.TryAgain or SocketError.NoData or SocketError.NoRecovery,
    };

    /// <summary>The words for a socket error.</summary>
    public static string Of(SocketError error) => error switch
    {
        SocketError.ConnectionRefused => "connection refused",
        SocketError.ConnectionReset or SocketError.Shutdown or SocketError.OperationAborted => "connection reset",
        SocketError.TimedOut => "timed out",
        SocketError.HostNotFound or SocketError.TryAgain or SocketError.NoData or SocketError.NoRecovery => "host not found",
        SocketError.HostUnreachable => "host unreachable",
        SocketError.NetworkUnreachable => "network unreachable",
        SocketError.TooManyOpenSockets => "too many open files",
        SocketError.AddressNotAvailable => "no free local port",
        SocketError.AccessDenied => "permission denied",
        _ => error.ToString(),
    };
}
