using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>
/// A bound socket: one that listens, or one of UDP. Others of this process may share it, and files of another process may lead to it.
/// </summary>
internal sealed class ListenSocket : IDisposable
{
    private readonly Shared _shared;
    private bool _isDisposed;

    /// <summary>Takes over a bound socket.</summary>
    public ListenSocket(Socket socket)
        : this(socket, new Shared(OperatingSystem.IsLinux() && IsUnix(socket) ? UnixSocketFile.Of(socket.LocalEndPoint) : null))
    {
    }

    private ListenSocket(Socket socket, Shared shared)
    {
        (Socket, Address, _shared) = (socket, socket.LocalEndPoint!, shared);
        Interlocked.Increment(ref shared.Users);
    }

    /// <summary>The socket itself.</summary>
    public Socket Socket { get; }

    /// <summary>Where it is bound.</summary>
    public EndPoint Address { get; }

    /// <summary>Its port; <see cref="EndpointAddress.NoPort"/> for a Unix socket.</summary>
    public int Port => (Address as IPEndPoint)?.Port ?? EndpointAddress.NoPort;

    /// <summary>The file of a Unix socket; null where there is none.</summary>
    public UnixSocketFile? File => _shared.File;

    /// <summary>The path of that file, where this process removes it in the end; else null.</summary>
    public string? OwnFile => OperatingSystem.IsLinux() ? File?.OwnPath : null;

    /// <summary>Who may connect to a Unix socket that another process has bound, once its file is this process's.</summary>
    public UnixFileMode? Mode { get; set; }

    /// <summary>Stream for TCP and Unix sockets, Dgram for UDP.</summary>
    public SocketType Type => Socket.SocketType;

    /// <summary>Called when it is disposed of.</summary>
    public Action<ListenSocket>? Closed { get; set; }

    /// <summary>On Linux: lets others be bound to a part of its addresses, or to more, while it is open, or no longer.</summary>
    public void SharePort(bool isShared) => SetReusePort(Socket, isShared);

    /// <summary>Binds a new one. One of TCP listens then.</summary>
    /// <param name="type">Stream for TCP, Dgram for UDP.</param>
    /// <param name="address">The address.</param>
    /// <param name="sharesPort">Whether it may be one that <see cref="SharePort"/> is for.</param>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public static ListenSocket Bind(SocketType type, IPEndPoint address, bool sharesPort = false)
    {
        var socket = ListenAddress.Bind(type, address, sharesPort ? created => SetReusePort(created, true) : null);
        try
        {
            if (type == SocketType.Stream)
            {
                socket.Listen(AcceptTrouble.Backlog); // Also where another program has the port and does not listen yet, this fails.
            }
            return new ListenSocket(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Binds a new Unix socket, which listens.</summary>
    /// <param name="address">The address.</param>
    /// <param name="mode">Who may connect; null for the user and the group of this process.</param>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public static ListenSocket Bind(UnixDomainSocketEndPoint address, UnixFileMode? mode)
    {
        if (OperatingSystem.IsLinux())
        {
            var bound = new ListenSocket(UnixSocketFile.Bind(address, mode ?? UnixSocketFile.DefaultMode));
            bound.File?.Own();
            return bound;
        }
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            socket.Bind(address); // The framework deletes the file in the end.
            socket.Listen(AcceptTrouble.Backlog);
            return new ListenSocket(socket);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Binds a new one of TCP, which listens.</summary>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public static ListenSocket BindTcp(EndPoint address) => Bind(SocketType.Stream, (IPEndPoint)address);

    /// <summary>Whether its addresses are a part of those of another one, or the other way round: one of the two has all.</summary>
    public bool Overlaps(SocketType type, IPEndPoint address) =>
        Type == type && Address is IPEndPoint own && own.Port == address.Port && address.Port != 0 && !own.Equals(address)
        && (IsAny(own) || IsAny(address));

    /// <summary>Whether it is the socket for an address. None is for port 0, which is a new port each time.</summary>
    public bool IsFor(SocketType type, EndPoint address) => Type == type && Address.Equals(address);

    /// <summary>
    /// Another use of the same socket, which stays open when this one ends; must not be called when it has. Not another file of it
    /// (<c>dup(2)</c>): the framework watches a file by its number, and the kernel forgets the number only when the socket is closed.
    /// </summary>
    public ListenSocket Share() => new(Socket, _shared);

    /// <summary>Uses it no longer. The last one closes it.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, true))
        {
            return;
        }
        Closed?.Invoke(this);
        if (Interlocked.Decrement(ref _shared.Users) > 0)
        {
            return;
        }
        if (OperatingSystem.IsLinux() && !Socket.SafeHandle.IsClosed)
        {
            File?.Remove();
            // The framework would shut down the socket itself, for all its files, where something waits for it. It does not where the
            // file has no FD_CLOEXEC, for it may be shared then.
            _ = Libc.Control(Socket.SafeHandle, Libc.SetFlags, 0);
        }
        Socket.Dispose();
    }

    private static bool IsUnix(Socket socket) => socket.AddressFamily == AddressFamily.Unix;

    private static bool IsAny(IPEndPoint address) =>
        address.Address.Equals(IPAddress.Any) || address.Address.Equals(IPAddress.IPv6Any);

    private static void SetReusePort(Socket socket, bool isShared)
    {
        const int SocketLevel = 1; // SOL_SOCKET and SO_REUSEPORT of Linux, socket(7); the framework has no name for the second.
        const int ReusePort = 15;
        socket.SetRawSocketOption(SocketLevel, ReusePort, BitConverter.GetBytes(isShared ? 1 : 0));
    }

    private sealed class Shared(UnixSocketFile? file)
    {
        public int Users; // how many share the socket

        public UnixSocketFile? File => file;
    }
}
