using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace LoadBalancer.Transport;

/// <summary>
/// Accepts connections in an event loop. Keeps some files free for backends (<see cref="FileReserve"/>), waits a moment if no more
/// files can be opened, and closes surplus connections at once.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollAcceptLoop : EpollSocket
{
    private const int AddressSize = 28; // struct sockaddr_in6

    private readonly ListenSocket _bound;
    private readonly ConnectionLimit _limit;
    private readonly Action<int, EndPoint, EndPoint> _accepted;
    private readonly AcceptTrouble _trouble;
    private readonly ITimer _retry;
    private bool _isShortOfFiles;
    private int _hasLeft;

    private EpollAcceptLoop(
        int file, ListenSocket bound, ConnectionLimit limit, Action<int, EndPoint, EndPoint> accepted, TimeProvider time,
        AcceptTrouble trouble)
        : base(file, EventLoop.Next())
    {
        (_bound, _limit, _accepted, _trouble) = (bound, limit, accepted, trouble);
        FileReserve.Enter();
        _retry = time.CreateTimer(
            static loop => ((EpollAcceptLoop)loop!).Continue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Where it listens.</summary>
    public EndPoint Address => _bound.Address;

    /// <summary>Takes over a bound socket, listens on it, and accepts until it is disposed.</summary>
    /// <param name="bound">The socket.</param>
    /// <param name="listener">The listener's name, for the log.</param>
    /// <param name="limit">
    /// Counts its connections. <see cref="ConnectionLimit.Leave"/> must be called when one is closed.
    /// </param>
    /// <param name="accepted">Given each connection's file, our end and the client's. Must neither block nor throw.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Logs when connections cannot be accepted.</param>
    /// <exception cref="SocketException">It cannot listen.</exception>
    public static EpollAcceptLoop Start(
        ListenSocket bound, string listener, ConnectionLimit limit, Action<int, EndPoint, EndPoint> accepted, TimeProvider time,
        ILogger logger)
    {
        EpollAcceptLoop loop;
        try
        {
            if (bound.Address is IPEndPoint)
            {
                bound.Socket.NoDelay = true; // accepted sockets inherit it
            }
            bound.Socket.Blocking = false;
            bound.Socket.Listen(AcceptTrouble.Backlog);
            var file = Libc.Control(bound.Socket.SafeHandle, Libc.Duplicate, 0); // The framework cannot hand over its file.
            var trouble = new AcceptTrouble(listener, time, logger);
            loop = file >= 0 ? new EpollAcceptLoop(file, bound, limit, accepted, time, trouble) : throw Libc.LastError();
        }
        catch
        {
            bound.Dispose();
            throw;
        }
        if (!loop.TryAwaitArrival())
        {
            loop.AcceptAll();
        }
        return loop;
    }

    /// <inheritdoc/>
    protected override void OnReadable() => AcceptAll();

    /// <inheritdoc/>
    protected override void OnWritable()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing && Interlocked.Exchange(ref _hasLeft, 1) == 0)
        {
            AcceptRest();
            FileReserve.Leave();
            Loop.RemoveShared(this);
            _bound.Dispose();
        }
        base.Dispose(disposing);
        if (disposing)
        {
            _retry.Dispose();
        }
    }

    private void AcceptAll()
    {
        try
        {
            do
            {
                while (!HasUsedItsReadBudget && TryAccept() is var (file, local, remote))
                {
                    _accepted(file, local, remote);
                }
            }
            while (!TryAwaitArrival());
        }
        catch (ObjectDisposedException)
        {
            // The listener was closed.
        }
    }

    // To its client a connection in the queue is open. The kernel would reset it when the last file of the socket is closed.
    private void AcceptRest()
    {
        for (var i = 0; i < AcceptTrouble.Backlog; i++)
        {
            switch (Accept())
            {
                case (0, var connection):
                    if (connection is var (file, local, remote))
                    {
                        _accepted(file, local, remote);
                    }
                    break;
                case (Libc.ConnectionAborted, _):
                    break;
                default:
                    return;
            }
        }
    }

    /// <returns>False where there may be a connection to accept already.</returns>
    private bool TryAwaitArrival()
    {
        if (!HasUsedItsReadBudget)
        {
            return TryAwaitReadable();
        }
        Yield();
        return true;
    }

    /// <returns>The file and both ends; null where there is no connection, or it was closed because of the limit.</returns>
    private (int File, EndPoint Local, EndPoint Remote)? TryAccept()
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!TryBeginReading())
        {
            return null;
        }
        if (_isShortOfFiles && !FileReserve.MayAccept(this, _limit.Open))
        {
            TryAgainLater(Libc.TooManyFiles);
            return null;
        }
        var (error, connection) = Accept();
        if (error == Libc.Again)
        {
            return null;
        }
        if (error is not (0 or Libc.ConnectionAborted))
        {
            TryAgainLater(error);
            return null;
        }
        MarkReadable(); // There may be another.
        EventLoop.Current?.Spend(0);
        return connection;
    }

    /// <returns>The error number, 0 for none; no connection where there is an error, or it was closed because of the limit.</returns>
    private unsafe (int Error, (int File, EndPoint Local, EndPoint Remote)?) Accept()
    {
        var remote = new SocketAddress(Address.AddressFamily, AddressSize);
        var length = remote.Size;
        int accepted;
        fixed (byte* name = remote.Buffer.Span)
        {
            accepted = Libc.Accept(this, name, &length, Libc.NonBlocking | Libc.CloseOnExec);
        }
        if (accepted < 0)
        {
            return (Marshal.GetLastPInvokeError(), null);
        }
        _isShortOfFiles = accepted >= FileReserve.SharedFrom;
        if (!_limit.TryEnter())
        {
            _ = Libc.Close(accepted);
            return (0, null);
        }
        if (Address is not IPEndPoint)
        {
            return (0, (accepted, Address, Address));
        }
        remote.Size = length;
        return (0, (accepted, LocalAddress(accepted), Address.Create(remote)));
    }

    private unsafe EndPoint LocalAddress(int accepted)
    {
        var own = ((IPEndPoint)Address).Address;
        if (!own.Equals(IPAddress.Any) && !own.Equals(IPAddress.IPv6Any))
        {
            return Address;
        }
        var local = new SocketAddress(Address.AddressFamily, AddressSize);
        var length = local.Size;
        fixed (byte* name = local.Buffer.Span)
        {
            _ = Libc.LocalName(accepted, name, &length); // Cannot fail: the socket is bound and the buffer is large enough.
        }
        local.Size = length;
        return Address.Create(local);
    }

    private void TryAgainLater(int error)
    {
        _retry.Change(AcceptTrouble.RetryDelay, Timeout.InfiniteTimeSpan);
        _trouble.Report(Libc.Error(error));
    }
}
