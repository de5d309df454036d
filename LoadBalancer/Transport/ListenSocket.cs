using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Transport;

/// <summary>
/// A socket of an event loop that listens. Backs off where no further file can be opened, keeps some free for backends, and closes what
/// is beyond the limit at once.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed partial class ListenSocket : EpollSocket
{
    private const int AddressSize = 28; // struct sockaddr_in6

    // Where there is no file left, or no memory, somebody must free some first.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);

    private readonly string _listener;
    private readonly ConnectionLimit? _limit;
    private readonly Action _arrived;
    private readonly ILogger _logger;
    private readonly LogGate _gate;
    private readonly ITimer _retry;
    private bool _isShortOfFiles;

    private ListenSocket(int file, IPEndPoint address, string listener, ConnectionLimit? limit, Action arrived, TimeProvider time, ILogger logger)
        : base(file, EventLoop.Next())
    {
        (Address, _listener, _limit, _arrived, _logger) = (address, listener, limit, arrived, logger);
        _gate = new LogGate(time);
        _retry = time.CreateTimer(static socket => ((ListenSocket)socket!).GoOn(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint Address { get; }

    /// <summary>Begins to listen on a socket that is bound; that one may be disposed of then.</summary>
    /// <param name="bound">The socket.</param>
    /// <param name="backlog">How many connections may wait to be accepted.</param>
    /// <param name="listener">The listener's name, for the log.</param>
    /// <param name="limit">How many connections there may be; null where there is no limit.</param>
    /// <param name="arrived">Called, once for each <see cref="TryAwaitArrival"/>, when somebody may be there; also when it was disposed.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Told where connections cannot be accepted.</param>
    /// <exception cref="SocketException">It cannot listen.</exception>
    public static ListenSocket Open(Socket bound, int backlog, string listener, ConnectionLimit? limit, Action arrived, TimeProvider time, ILogger logger)
    {
        bound.NoDelay = true; // accepted sockets inherit it
        bound.Blocking = false;
        bound.Listen(backlog);
        var file = Libc.Control(bound.SafeHandle, Libc.Duplicate, 0); // The framework does not let go of its own.
        return file >= 0 ? new ListenSocket(file, (IPEndPoint)bound.LocalEndPoint!, listener, limit, arrived, time, logger) : throw Libc.LastError();
    }

    /// <summary>Begins to wait for somebody to accept.</summary>
    /// <returns>False where somebody may be there already.</returns>
    public bool TryAwaitArrival()
    {
        if (!IsTurnOver)
        {
            return TryAwaitReadable();
        }
        Yield();
        return true;
    }

    /// <summary>Accepts a connection if there is one. Where there is a limit, <see cref="ConnectionLimit.Leave"/> must be called when it is closed.</summary>
    /// <returns>Its file and both its ends; null where there is none, or not for us.</returns>
    /// <exception cref="ObjectDisposedException">It does not listen any more.</exception>
    public unsafe (int File, IPEndPoint Local, IPEndPoint Remote)? TryAccept()
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!TryBeginReading())
        {
            return null;
        }
        if (_isShortOfFiles && IsShortOfFiles())
        {
            TryAgainLater(Libc.TooManyFiles);
            return null;
        }
        var remote = new SocketAddress(Address.AddressFamily, AddressSize);
        var length = remote.Size;
        int accepted;
        fixed (byte* name = remote.Buffer.Span)
        {
            accepted = Libc.Accept(this, name, &length, Libc.NonBlocking | Libc.CloseOnExec);
        }
        var error = accepted >= 0 ? 0 : Marshal.GetLastPInvokeError();
        if (error == Libc.Again)
        {
            return null;
        }
        if (error is not (0 or Libc.ConnectionAborted))
        {
            TryAgainLater(error);
            return null;
        }
        ReadOn();
        _isShortOfFiles = accepted >= FileReserve.ClientsEnd;
        EventLoop.Current?.Spend(0);
        if (error != 0)
        {
            return null;
        }
        if (_limit?.TryEnter() == false)
        {
            _ = Libc.Close(accepted);
            return null;
        }
        remote.Size = length;
        return (accepted, LocalAddress(accepted), (IPEndPoint)Address.Create(remote));
    }

    /// <inheritdoc/>
    protected override void OnReadable() => _arrived();

    /// <inheritdoc/>
    protected override void OnWritable()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing)
        {
            _retry.Dispose();
            GoOn();
        }
    }

    private unsafe IPEndPoint LocalAddress(int accepted)
    {
        if (!Address.Address.Equals(IPAddress.Any) && !Address.Address.Equals(IPAddress.IPv6Any))
        {
            return Address;
        }
        var local = new SocketAddress(Address.AddressFamily, AddressSize);
        var length = local.Size;
        fixed (byte* name = local.Buffer.Span)
        {
            _ = Libc.LocalName(accepted, name, &length); // It is bound, and the room is enough.
        }
        local.Size = length;
        return (IPEndPoint)Address.Create(local);
    }

    private bool IsShortOfFiles()
    {
        var next = Libc.Control(this, Libc.Duplicate, 0);
        _ = Libc.Close(next);
        return next < 0 || next >= FileReserve.ClientsEnd;
    }

    // There is no event when a file becomes free.
    private void TryAgainLater(int error)
    {
        _retry.Change(Patience, Timeout.InfiniteTimeSpan);
        if (!_gate.TryPass())
        {
            return;
        }
        if (error is Libc.TooManyFiles or Libc.TooManyFilesInSystem)
        {
            LogOutOfFiles(_listener);
        }
        else
        {
            LogOutOfMemory(_listener, error);
        }
    }

    [LoggerMessage(43, LogLevel.Warning, "listener '{Listener}': connections wait to be accepted, for no more files can be opened; raise the limit (ulimit -n)")]
    private partial void LogOutOfFiles(string listener);

    [LoggerMessage(44, LogLevel.Warning, "listener '{Listener}': connections wait to be accepted, for the system is short of memory (error {Error})")]
    private partial void LogOutOfMemory(string listener, int error);
}
