using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>Opens connections on the transport that this process uses.</summary>
internal static class Connector
{
    /// <summary>Connects. If the address is a name: to the first of its addresses that accepts.</summary>
    /// <param name="address">The address; the scheme is ignored.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <param name="near">
    /// The new connection is placed on the event loop of this one, so that one thread serves both ends of a relay. Null: the caller's loop,
    /// or the next loop in turn if the caller is on none.
    /// </param>
    /// <exception cref="SocketException">The connection was refused, no file or port is left, or the name has no address.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<ISocketConnection> OpenAsync(
        EndpointAddress address, CancellationToken cancellationToken, ISocketConnection? near = null) =>
        OpenAsync(TransportChoice.IsEpoll, address, cancellationToken, near);

    /// <summary>Connects on one of the transports, for tests of both.</summary>
    /// <inheritdoc cref="OpenAsync(EndpointAddress, CancellationToken, ISocketConnection)"/>
    public static Task<ISocketConnection> OpenAsync(
        bool isEpoll, EndpointAddress address, CancellationToken cancellationToken, ISocketConnection? near = null)
    {
        if (!isEpoll || !OperatingSystem.IsLinux())
        {
            return FirstAsync<ISocketConnection>(
                address, async ip => new SocketConnection(await ConnectAsync(ip, cancellationToken)), cancellationToken);
        }
        return OpenOnLoopAsync(address, near, cancellationToken);
    }

    [SupportedOSPlatform("linux")]
    private static Task<ISocketConnection> OpenOnLoopAsync(
        EndpointAddress address, ISocketConnection? near, CancellationToken cancellationToken)
    {
        var loop = near is EpollConnection connection ? connection.Loop : EventLoop.Current ?? EventLoop.Next();
        return FirstAsync<ISocketConnection>(
            address, async ip => await EpollConnection.OpenAsync(ip, loop, cancellationToken), cancellationToken);
    }

    /// <summary>Connects a socket of the framework, for code that needs one, such as its TLS.</summary>
    /// <inheritdoc cref="OpenAsync(EndpointAddress, CancellationToken, ISocketConnection)" path="/exception"/>
    public static Task<Socket> OpenSocketAsync(EndpointAddress address, CancellationToken cancellationToken) =>
        FirstAsync(address, ip => ConnectAsync(ip, cancellationToken), cancellationToken);

    private static async Task<T> FirstAsync<T>(
        EndpointAddress address, Func<IPEndPoint, Task<T>> connectAsync, CancellationToken cancellationToken)
    {
        if (IPAddress.TryParse(address.Host, out var only))
        {
            return await connectAsync(new IPEndPoint(only, address.Port));
        }
        var failure = new SocketException((int)SocketError.HostNotFound);
        foreach (var ip in await Dns.GetHostAddressesAsync(address.Host, cancellationToken))
        {
            try
            {
                return await connectAsync(new IPEndPoint(ip, address.Port));
            }
            catch (SocketException e)
            {
                failure = e;
            }
        }
        throw failure;
    }

    private static async Task<Socket> ConnectAsync(IPEndPoint address, CancellationToken cancellationToken)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (OperatingSystem.IsLinux() && socket.Handle >= FileReserve.BackendsEnd)
            {
                throw Libc.Error(Libc.TooManyFiles);
            }
            socket.NoDelay = true;
            await socket.ConnectAsync(address, cancellationToken);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
