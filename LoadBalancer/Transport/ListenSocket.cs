using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>
/// A bound socket: one that listens, or one of UDP. Others of this process may share it, and files of another process may lead to it.
/// </summary>
internal sealed class ListenSocket : IDisposable
{
    private readonly StrongBox<int> _users; // how many share the socket
    private bool _isDisposed;

    /// <summary>Takes over a bound socket.</summary>
    public ListenSocket(Socket socket)
        : this(socket, new StrongBox<int>(0))
    {
    }

    private ListenSocket(Socket socket, StrongBox<int> users)
    {
        (Socket, Address, _users) = (socket, (IPEndPoint)socket.LocalEndPoint!, users);
        Interlocked.Increment(ref users.Value);
    }

    /// <summary>The socket itself.</summary>
    public Socket Socket { get; }

    /// <summary>Where it is bound.</summary>
    public IPEndPoint Address { get; }

    /// <summary>Stream for TCP, Dgram for UDP.</summary>
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

    /// <summary>Binds a new one of TCP, which listens.</summary>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public static ListenSocket BindTcp(IPEndPoint address) => Bind(SocketType.Stream, address);

    /// <summary>Whether its addresses are a part of those of another one, or the other way round: one of the two has all.</summary>
    public bool Overlaps(SocketType type, IPEndPoint address) =>
        Type == type && Address.Port == address.Port && address.Port != 0 && !Address.Equals(address) && (IsAny(Address) || IsAny(address));

    /// <summary>Whether it is the socket for an address. None is for port 0, which is a new port each time.</summary>
    public bool IsFor(SocketType type, IPEndPoint address) => Type == type && Address.Equals(address);

    /// <summary>
    /// Another use of the same socket, which stays open when this one ends; must not be called when it has. Not another file of it
    /// (<c>dup(2)</c>): the framework watches a file by its number, and the kernel forgets the number only when the socket is closed.
    /// </summary>
    public ListenSocket Share() => new(Socket, _users);

    /// <summary>Uses it no longer. The last one closes it.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, true))
        {
            return;
        }
        Closed?.Invoke(this);
        if (Interlocked.Decrement(ref _users.Value) > 0)
        {
            return;
        }
        if (OperatingSystem.IsLinux() && !Socket.SafeHandle.IsClosed)
        {
            // The framework would shut down the socket itself, for all its files, where something waits for it. It does not where the
            // file has no FD_CLOEXEC, for it may be shared then.
            _ = Libc.Control(Socket.SafeHandle, Libc.SetFlags, 0);
        }
        Socket.Dispose();
    }

    private static bool IsAny(IPEndPoint address) =>
        address.Address.Equals(IPAddress.Any) || address.Address.Equals(IPAddress.IPv6Any);

    private static void SetReusePort(Socket socket, bool isShared)
    {
        const int SocketLevel = 1; // SOL_SOCKET and SO_REUSEPORT of Linux, socket(7); the framework has no name for the second.
        const int ReusePort = 15;
        socket.SetRawSocketOption(SocketLevel, ReusePort, BitConverter.GetBytes(isShared ? 1 : 0));
    }
}
