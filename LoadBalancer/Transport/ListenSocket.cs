using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>A bound socket: one that listens, or one of UDP. Other files of this or another process may lead to the same.</summary>
internal sealed class ListenSocket : IDisposable
{
    /// <summary>Takes over a bound socket.</summary>
    public ListenSocket(Socket socket) => (Socket, Address) = (socket, (IPEndPoint)socket.LocalEndPoint!);

    /// <summary>The socket itself.</summary>
    public Socket Socket { get; }

    /// <summary>Where it is bound.</summary>
    public IPEndPoint Address { get; }

    /// <summary>Stream for TCP, Dgram for UDP.</summary>
    public SocketType Type => Socket.SocketType;

    /// <summary>Called when it is disposed of.</summary>
    public Action<ListenSocket>? Closed { get; set; }

    /// <summary>Binds a new one. One of TCP listens then.</summary>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public static ListenSocket Bind(SocketType type, IPEndPoint address)
    {
        var socket = ListenAddress.Bind(type, address);
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

    /// <summary>Whether it is the socket for an address. None is for port 0, which is a new port each time.</summary>
    public bool IsFor(SocketType type, IPEndPoint address) => Type == type && Address.Equals(address);

    /// <summary>Another file for the same socket (<c>dup(2)</c>), which stays when this one is closed. On Linux only.</summary>
    /// <exception cref="SocketException">There are too many files.</exception>
    public ListenSocket Duplicate()
    {
        var file = Libc.Control(Socket.SafeHandle, Libc.Duplicate, 0);
        return file >= 0 ? new ListenSocket(new Socket(new SafeSocketHandle(file, ownsHandle: true))) : throw Libc.LastError();
    }

    /// <summary>Closes this file.</summary>
    public void Dispose()
    {
        Closed?.Invoke(this);
        if (OperatingSystem.IsLinux() && !Socket.SafeHandle.IsClosed)
        {
            // The framework would shut down the socket itself, for all its files, where something waits for it. It does not where the
            // file has no FD_CLOEXEC, for it may be shared then.
            _ = Libc.Control(Socket.SafeHandle, Libc.SetFlags, 0);
        }
        Socket.Dispose();
    }
}
